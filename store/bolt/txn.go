package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/internal/txn"
)

// reader is a bbolt transaction as a store.Reader. Bbolt does not check pages
// when it reads them and panics over what it cannot make sense of; here that
// becomes an error.
type reader struct{ b *bolt.Bucket }

var errEnded = errors.New("bolt: the transaction has ended")

func guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("bolt: read: %w: %v", store.ErrCorrupt, p)
	}
}

// root returns the bucket that holds everything.
func root(tx *bolt.Tx) (b *bolt.Bucket, err error) {
	defer guard(&err)
	if b = tx.Bucket(bucket); b == nil {
		return nil, fmt.Errorf("bolt: read: %w: there is no bucket %q", store.ErrCorrupt, bucket)
	}
	return b, nil
}

func (r *reader) Get(key []byte) (value []byte, err error) {
	if r.b == nil {
		return nil, errEnded
	}
	defer guard(&err)
	return r.b.Get(key), nil
}

func (r *reader) Scan(from, to []byte) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) {
		s := scan{r: r, to: to}
		for ok := s.seek(from); ok; ok = s.next() {
			if !yield(s.pair, nil) {
				return
			}
		}
		if s.err != nil {
			yield(store.Pair{}, s.err)
		}
	}
}

// scan is a cursor with an upper bound.
type scan struct {
	r    *reader
	c    *bolt.Cursor
	to   []byte
	pair store.Pair
	err  error
}

func (s *scan) seek(from []byte) bool {
	return s.move(func() ([]byte, []byte) {
		s.c = s.r.b.Cursor()
		return s.c.Seek(from)
	})
}

func (s *scan) next() bool { return s.move(s.c.Next) }

func (s *scan) move(step func() (key, value []byte)) bool {
	if s.r.b == nil {
		s.err = errEnded
		return false
	}
	func() {
		defer guard(&s.err)
		s.pair.Key, s.pair.Value = step()
	}()
	return s.err == nil && s.pair.Key != nil && (s.to == nil || bytes.Compare(s.pair.Key, s.to) < 0)
}

// write is one change. A deletion has a nil value.
type write struct{ key, value []byte }

// transaction is a store.Txn. It keeps its writes to itself until apply, so that
// one that fails leaves nothing in the bbolt transaction it shares with others.
type transaction struct {
	reader
	arena  arena
	size   txn.Size
	writes []write // in the order in which they were made
}

func (t *transaction) clear() {
	t.size = txn.Size{}
	clear(t.writes)
	t.writes = t.writes[:0]
}

func (t *transaction) Get(key []byte) ([]byte, error) {
	for i := len(t.writes) - 1; i >= 0; i-- {
		if w := &t.writes[i]; bytes.Equal(w.key, key) {
			return w.value, nil
		}
	}
	return t.reader.Get(key)
}

func (t *transaction) Put(key, value []byte) error {
	if err := t.size.Add(key, value); err != nil {
		return err
	}
	t.writes = append(t.writes, write{t.arena.copy(key), t.arena.copy(value)})
	return nil
}

func (t *transaction) Delete(key []byte) error {
	if err := t.size.Add(key, nil); err != nil {
		return err
	}
	t.writes = append(t.writes, write{t.arena.copy(key), nil})
	return nil
}

// Scan merges what is in the file with what t has written.
func (t *transaction) Scan(from, to []byte) iter.Seq2[store.Pair, error] {
	if len(t.writes) == 0 {
		return t.reader.Scan(from, to)
	}
	own := t.sorted(from, to)
	return func(yield func(store.Pair, error) bool) {
		own := own
		s := scan{r: &t.reader, to: to}
		ok := s.seek(from)
		for s.err == nil && (ok || len(own) > 0) {
			order := -1
			if len(own) == 0 {
				order = 1
			} else if ok {
				order = bytes.Compare(own[0].key, s.pair.Key)
			}
			pair := s.pair
			if order <= 0 {
				pair = store.Pair{Key: own[0].key, Value: own[0].value}
				own = own[1:]
			}
			if pair.Value != nil && !yield(pair, nil) {
				return
			}
			if order >= 0 {
				ok = s.next()
			}
		}
		if s.err != nil {
			yield(store.Pair{}, s.err)
		}
	}
}

// sorted returns the last write to each key with from <= key < to.
func (t *transaction) sorted(from, to []byte) []write {
	var own []write
	for _, w := range t.writes {
		if bytes.Compare(w.key, from) >= 0 && (to == nil || bytes.Compare(w.key, to) < 0) {
			own = append(own, w)
		}
	}
	slices.SortStableFunc(own, func(a, b write) int { return bytes.Compare(a.key, b.key) })
	last := own[:0]
	for i, w := range own {
		if i+1 == len(own) || !bytes.Equal(w.key, own[i+1].key) {
			last = append(last, w)
		}
	}
	return last
}

// apply moves the writes of t to the bbolt transaction.
func (t *transaction) apply() (err error) {
	defer guard(&err)
	for _, w := range t.writes {
		if w.value == nil {
			err = t.b.Delete(w.key)
		} else {
			err = t.b.Put(w.key, w.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// arena holds the bytes that transactions write, which bbolt needs until the
// commit is over, for one allocation in many writes.
type arena struct {
	chunks [][]byte
	n      int // chunks in use
}

const (
	arenaChunk = 256 << 10
	arenaKeep  = 8 // chunks kept for the next commit
)

// copy returns a copy of b that is never nil.
func (a *arena) copy(b []byte) []byte {
	if a.n == 0 || cap(a.chunks[a.n-1])-len(a.chunks[a.n-1]) < len(b) {
		a.grow(len(b))
	}
	c := &a.chunks[a.n-1]
	begin := len(*c)
	*c = append(*c, b...)
	return (*c)[begin:len(*c):len(*c)]
}

func (a *arena) grow(n int) {
	switch {
	case n > arenaChunk:
		a.chunks = slices.Insert(a.chunks, a.n, make([]byte, 0, n))
	case a.n == len(a.chunks):
		a.chunks = append(a.chunks, make([]byte, 0, arenaChunk))
	}
	a.n++
}

// reset makes room for the next commit. Slices from before are not to be used.
func (a *arena) reset() {
	for i := range a.chunks {
		a.chunks[i] = a.chunks[i][:0]
	}
	a.n = 0
	a.chunks = slices.DeleteFunc(a.chunks, func(c []byte) bool { return cap(c) > arenaChunk })
	if len(a.chunks) > arenaKeep {
		a.chunks = slices.Delete(a.chunks, arenaKeep, len(a.chunks))
	}
}

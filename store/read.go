package store

import (
	"context"
	"fmt"
	"iter"
)

func readHead(r Reader, key []byte) (Head, error) {
	b, err := r.Get(key)
	if err != nil {
		return Head{}, err
	}
	return decodeHead(b)
}

// Head returns the end of a log as it was last written, without a look at the
// records.
func (l *Logs) Head(ctx context.Context, log string) (Head, error) {
	var h Head
	err := l.s.View(ctx, func(r Reader) (err error) {
		h, err = readHead(r, appendHeadKey(nil, log))
		return err
	})
	if err != nil {
		return Head{}, fmt.Errorf("store: head of log %q: %w", log, err)
	}
	return h, nil
}

// List yields the logs whose names begin with prefix, in byte order of their
// names. It reads a page at a time: a log that is made meanwhile may be missing.
// An error ends the sequence.
func (l *Logs) List(ctx context.Context, prefix string) iter.Seq2[LogHead, error] {
	return func(yield func(LogHead, error) bool) {
		for p, err := range l.pairs(ctx, headPrefix+prefix) {
			if err != nil {
				yield(LogHead{}, fmt.Errorf("store: list logs: %w", err))
				return
			}
			log := string(p.Key[len(headPrefix):])
			h, err := decodeHead(p.Value)
			if err != nil {
				yield(LogHead{}, fmt.Errorf("store: list logs: %q: %w", log, err))
				return
			}
			if !yield(LogHead{log, h}, nil) {
				return
			}
		}
	}
}

// Verify computes a log's chain again from its first record and returns the
// head it leads to. The error wraps ErrCorrupt when that is not the stored one.
func (l *Logs) Verify(ctx context.Context, log string) (Head, error) {
	var h Head
	for r, err := range l.Read(ctx, log, 1) {
		if err != nil {
			return Head{}, err
		}
		h = Head{r.Seq, r.Hash}
	}
	return h, nil
}

// A page is what is read in one transaction, which must be short: on one file
// it keeps pages from being used again, on a replicated store it has a time limit.
const (
	pageEntries = 512
	pageBytes   = 1 << 20
)

// Read yields the records of a log from number from on (0 means 1), up to the
// end of the log as it is when the sequence gets there. Each one's hash is
// checked against the record before, the last one's against the head; what does
// not match ends the sequence with an error that wraps ErrCorrupt. A log
// without records, or a from after the end, yields nothing.
func (l *Logs) Read(ctx context.Context, log string, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := checkLog(log); err != nil {
			yield(Record{}, fmt.Errorf("store: read: %w", err))
			return
		}
		p := page{log: log, chain: newChain(), next: max(from, 1)}
		for !p.end {
			// The function may run again, so it begins with a copy each time.
			p.records, p.buf, p.bytes = nil, nil, 0
			begin := p
			err := l.s.View(ctx, func(r Reader) error {
				p = begin
				return p.read(r)
			})
			for _, rec := range p.records {
				if !yield(rec, nil) {
					return
				}
			}
			if err != nil {
				yield(Record{}, fmt.Errorf("store: read log %q: %w", log, err))
				return
			}
		}
	}
}

// page is where a Read stands, and what its last transaction gave.
type page struct {
	log   string
	chain *chain
	next  uint64 // number of the record to come
	prev  Hash   // of the record before it
	begun bool   // prev is known
	end   bool   // the end of the log was reached

	records []Record
	bytes   int
	buf     []byte // holds the data of records
}

func (p *page) read(r Reader) error {
	head, err := readHead(r, appendHeadKey(nil, p.log))
	if err != nil {
		return err
	}
	if !p.begun {
		if p.next > 1 && p.next-1 > head.Len {
			p.end = true
			return nil
		}
		if p.prev, err = p.hashBefore(r); err != nil {
			return err
		}
		p.begun = true
	}
	for pair, err := range r.Scan(appendRecordKey(nil, p.log, p.next), recordsEnd(p.log)) {
		if err != nil {
			return err
		}
		if len(p.records) == pageEntries || p.bytes > 0 && p.bytes+len(pair.Value) > pageBytes {
			return nil
		}
		if err := p.add(pair, head); err != nil {
			return err
		}
	}
	p.end = true
	if p.next <= head.Len {
		return corrupt(p.next, fmt.Sprintf("is missing, its head says that there are %d", head.Len))
	}
	if head.Len > 0 && p.prev != head.Hash {
		return corrupt(head.Len, "is not the one that its head names")
	}
	return nil
}

func (p *page) hashBefore(r Reader) (Hash, error) {
	if p.next == 1 {
		return seed(p.log), nil
	}
	b, err := r.Get(appendRecordKey(nil, p.log, p.next-1))
	if err != nil {
		return Hash{}, err
	}
	if b == nil {
		return Hash{}, corrupt(p.next-1, "is missing")
	}
	h, _, err := decodeRecord(p.next-1, b)
	return h, err
}

func (p *page) add(pair Pair, head Head) error {
	seq, err := recordSeq(pair.Key, p.log)
	if err != nil {
		return err
	}
	if seq != p.next {
		return corrupt(p.next, "is missing")
	}
	if seq > head.Len {
		return corrupt(seq, fmt.Sprintf("comes after its head, which says that there are %d", head.Len))
	}
	stored, data, err := decodeRecord(seq, pair.Value)
	if err != nil {
		return err
	}
	h := p.chain.next(p.prev, seq, data)
	if h != stored {
		return corrupt(seq, "is not what was written: its hash does not match")
	}
	data = p.copy(data)
	p.records = append(p.records, Record{Seq: seq, Hash: h, Data: data})
	p.bytes += len(pair.Value)
	p.prev, p.next = h, seq+1
	return nil
}

// copy copies data next to that of the page's other records, for one
// allocation instead of many.
func (p *page) copy(data []byte) []byte {
	if cap(p.buf)-len(p.buf) < len(data) {
		p.buf = make([]byte, 0, max(len(data), min(pageBytes, max(4<<10, 2*cap(p.buf)))))
	}
	begin := len(p.buf)
	p.buf = append(p.buf, data...)
	return p.buf[begin:len(p.buf):len(p.buf)]
}

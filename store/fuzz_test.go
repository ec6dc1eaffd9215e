package store_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
)

// FuzzStored reads whatever may be stored for a log and for a blob: the answer
// is either what was written or ErrCorrupt, never a panic.
func FuzzStored(f *testing.F) {
	l := store.NewLogs(mem.New(mem.Options{}))
	ctx := f.Context()
	err := l.Append(ctx, []store.Append{{Log: "a", Records: [][]byte{[]byte("one"), []byte("two")}}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	keys := []string{"h/a", "l/a\x00\x00\x00\x00\x00\x00\x00\x00\x01", "l/a\x00\x00\x00\x00\x00\x00\x00\x00\x02"}
	var values [][]byte
	err = l.Store().View(ctx, func(r store.Reader) error {
		for _, key := range keys {
			v, err := r.Get([]byte(key))
			if err != nil {
				return err
			}
			values = append(values, append([]byte{}, v...))
		}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(values[0], values[1], values[2], []byte("x"), binary.BigEndian.AppendUint64(nil, 1))
	f.Add(values[0], values[2], values[1], []byte(nil), append(make([]byte, 11), 1))
	f.Add([]byte{}, []byte{}, []byte{}, []byte("\x00\x00\x00\x00\x00\x00\x00\x01"), []byte{})

	f.Fuzz(func(t *testing.T, head, one, two, tail, blob []byte) {
		ctx := t.Context()
		l := store.NewLogs(mem.New(mem.Options{}))
		sha := store.Hash{1}
		err := l.Store().Update(ctx, func(tx store.Txn) error {
			return errors.Join(
				tx.Put([]byte(keys[0]), head),
				tx.Put([]byte(keys[1]), one),
				tx.Put([]byte(keys[2]), two),
				tx.Put(append([]byte("l/a\x00"), tail...), one),
				tx.Put([]byte("b/"+sha.String()), blob),
			)
		})
		if errors.Is(err, store.ErrTooLarge) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if h, err := l.Verify(ctx, "a"); err != nil && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("verify: %v", err)
		} else if stored, headErr := l.Head(ctx, "a"); err == nil && (headErr != nil || h != stored) {
			t.Errorf("verified %v although the head is %v, %v", h, stored, headErr)
		}
		for _, from := range []uint64{2, 3, 1 << 63} {
			for _, err := range l.Read(ctx, "a", from) {
				if err != nil && !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("read from %d: %v", from, err)
				}
			}
		}
		for _, err := range l.List(ctx, "") {
			if err != nil && !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("list: %v", err)
			}
		}
		if _, err := l.GetBlob(ctx, sha); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("blob: %v", err)
		}
		err = l.Append(ctx, []store.Append{{Log: "a", Expect: 2, Records: [][]byte{nil}}}, nil)
		if err != nil && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrConflict) {
			t.Errorf("append: %v", err)
		}
	})
}

func TestHashText(t *testing.T) {
	h := store.Hash{0: 0xab, 31: 0x01}
	text, err := h.MarshalText()
	if err != nil || string(text) != h.String() || len(text) != 64 {
		t.Errorf("text is %q, %v", text, err)
	}
	var back store.Hash
	if err := back.UnmarshalText(text); err != nil || back != h {
		t.Errorf("got %v back, %v", back, err)
	}
	for _, text := range []string{"", "ab", "zz", h.String() + "00", h.String()[:63]} {
		if err := back.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken for a hash", text)
		}
	}
}

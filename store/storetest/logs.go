package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/muster-release/muster/store"
)

func records(texts ...string) [][]byte {
	var out [][]byte
	for _, text := range texts {
		out = append(out, []byte(text))
	}
	return out
}

func appendTo(t *testing.T, l *store.Logs, log string, expect uint64, texts ...string) {
	t.Helper()
	err := l.Append(t.Context(), []store.Append{{Log: log, Expect: expect, Records: records(texts...)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, l *store.Logs, log string, from uint64) []store.Record {
	t.Helper()
	var got []store.Record
	for r, err := range l.Read(t.Context(), log, from) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	return got
}

func texts(rs []store.Record) string {
	var b strings.Builder
	for _, r := range rs {
		fmt.Fprintf(&b, "%d=%s ", r.Seq, r.Data)
	}
	return strings.TrimSpace(b.String())
}

func wantLen(t *testing.T, l *store.Logs, log string, want uint64) {
	t.Helper()
	if h, err := l.Head(t.Context(), log); err != nil || h.Len != want {
		t.Errorf("log %q has %d records, %v, want %d", log, h.Len, err, want)
	}
}

// chainHash is the definition of store.Hash, written down once more.
func chainHash(log string, datas ...string) store.Hash {
	h := sha256.Sum256([]byte(log))
	for i, data := range datas {
		b := binary.BigEndian.AppendUint64(h[:], uint64(i+1))
		h = sha256.Sum256(append(b, data...))
	}
	return h
}

func testAppend(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	ctx := t.Context()
	if h, err := l.Head(ctx, "run/1"); err != nil || h != (store.Head{}) {
		t.Errorf("head of a log that is not there: %v, %v", h, err)
	}
	if h, err := l.Verify(ctx, "run/1"); err != nil || h != (store.Head{}) {
		t.Errorf("verify a log that is not there: %v, %v", h, err)
	}
	if got := read(t, l, "run/1", 1); got != nil {
		t.Errorf("read a log that is not there: %v", got)
	}
	appendTo(t, l, "run/1", 0, "a", "b")
	appendTo(t, l, "run/1", 2, "", "d")
	appendTo(t, l, "run/10", 0, "other")
	appendTo(t, l, "run/1\x01", 0, "neighbour")

	want := store.Head{Len: 4, Hash: chainHash("run/1", "a", "b", "", "d")}
	if h, err := l.Head(ctx, "run/1"); err != nil || h != want {
		t.Errorf("head is %v, %v, want %v", h, err, want)
	}
	if h, err := l.Verify(ctx, "run/1"); err != nil || h != want {
		t.Errorf("verify gives %v, %v, want %v", h, err, want)
	}
	for from, want := range map[uint64]string{
		0: "1=a 2=b 3= 4=d",
		1: "1=a 2=b 3= 4=d",
		3: "3= 4=d",
		4: "4=d",
		5: "",
		9: "",
	} {
		if got := texts(read(t, l, "run/1", from)); got != want {
			t.Errorf("read from %d: got %q, want %q", from, got, want)
		}
	}
	if got, want := read(t, l, "run/1", 2)[0].Hash, chainHash("run/1", "a", "b"); got != want {
		t.Errorf("record 2 has hash %s, want %s", got, want)
	}
}

func testConflict(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	appendTo(t, l, "a", 0, "1")
	appendTo(t, l, "b", 0, "1", "2")
	tests := []struct {
		name     string
		appends  []store.Append
		conflict bool
	}{
		{"behind", []store.Append{{Log: "a", Expect: 0, Records: records("x")}}, true},
		{"ahead", []store.Append{{Log: "a", Expect: 2, Records: records("x")}}, true},
		{"second of two", []store.Append{
			{Log: "a", Expect: 1, Records: records("x")},
			{Log: "b", Expect: 1, Records: records("x")},
		}, true},
		{"condition alone fails", []store.Append{
			{Log: "a", Expect: 1, Records: records("x")},
			{Log: "b", Expect: 3},
		}, true},
		{"condition alone holds", []store.Append{{Log: "a", Expect: 1}, {Log: "none", Expect: 0}}, false},
		{"both", []store.Append{
			{Log: "a", Expect: 1, Records: records("2")},
			{Log: "b", Expect: 2, Records: records("3")},
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := l.Append(t.Context(), tt.appends, []store.Set{{Key: tt.name, Value: []byte("set")}})
			if tt.conflict != errors.Is(err, store.ErrConflict) || !tt.conflict && err != nil {
				t.Fatalf("got %v, conflict: %t", err, tt.conflict)
			}
			v, err := l.Get(t.Context(), tt.name)
			if err != nil || (v == nil) != tt.conflict {
				t.Errorf("the key beside it is %q, %v", v, err)
			}
		})
	}
	if got, want := texts(read(t, l, "a", 1)), "1=1 2=2"; got != want {
		t.Errorf("a holds %q, want %q", got, want)
	}
	if got, want := texts(read(t, l, "b", 1)), "1=1 2=2 3=3"; got != want {
		t.Errorf("b holds %q, want %q", got, want)
	}

	// The check comes before any write, also for the logs before the one at fault.
	c := &counting{Store: s}
	err := store.NewLogs(c).Append(t.Context(), []store.Append{
		{Log: "a", Expect: 2, Records: records("x")},
		{Log: "b", Expect: 2, Records: records("x")},
	}, nil)
	if !errors.Is(err, store.ErrConflict) || c.puts != 0 {
		t.Errorf("got %v after %d writes, want a conflict before any", err, c.puts)
	}
}

// counting is a store that counts what its transactions put.
type counting struct {
	store.Store
	puts int
}

type countingTxn struct {
	store.Txn
	c *counting
}

func (c *counting) Update(ctx context.Context, fn func(store.Txn) error) error {
	return c.Store.Update(ctx, func(tx store.Txn) error { return fn(countingTxn{tx, c}) })
}

func (t countingTxn) Put(key, value []byte) error {
	t.c.puts++
	return t.Txn.Put(key, value)
}

func testAppendPipeline(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	const n = 100
	var answers []<-chan error
	for i := range n {
		// One in the middle is wrong; the others do not notice.
		if i == n/2 {
			answers = append(answers, l.Submit([]store.Append{{Log: "a", Expect: 0, Records: records("wrong")}}, nil))
		}
		answers = append(answers, l.Submit([]store.Append{
			{Log: "a", Expect: uint64(i), Records: [][]byte{fmt.Appendf(nil, "%d", i+1)}},
		}, nil))
	}
	for i, answer := range answers {
		if err := <-answer; errors.Is(err, store.ErrConflict) != (i == n/2) || err != nil && i != n/2 {
			t.Errorf("append %d: %v", i, err)
		}
	}
	for i, r := range read(t, l, "a", 1) {
		if r.Seq != uint64(i+1) || string(r.Data) != fmt.Sprint(i+1) {
			t.Fatalf("record %d is %d=%s", i+1, r.Seq, r.Data)
		}
	}
	wantLen(t, l, "a", n)
}

func testAppendRefused(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	one := records("x")
	many := make([][]byte, store.MaxTxnOps)
	tests := []struct {
		name    string
		appends []store.Append
		sets    []store.Set
		is      error
	}{
		{"no name", []store.Append{{Records: one}}, nil, nil},
		{"NUL in a name", []store.Append{{Log: "a\x00b", Records: one}}, nil, nil},
		{"one log twice", []store.Append{{Log: "a", Records: one}, {Log: "a", Records: one}}, nil, nil},
		{"no key", nil, []store.Set{{Value: []byte("x")}}, nil},
		{"too many records", []store.Append{{Log: "a", Records: many}}, nil, store.ErrTooLarge},
		{"too large a record", []store.Append{{Log: "a", Records: [][]byte{make([]byte, store.MaxTxnBytes)}}}, nil, store.ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for how, err := range map[string]error{
				"Append": l.Append(t.Context(), tt.appends, tt.sets),
				"Submit": <-l.Submit(tt.appends, tt.sets),
			} {
				if err == nil || tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("%s: got %v, want an error (%v)", how, err, tt.is)
				}
			}
		})
	}
	for _, err := range l.Read(t.Context(), "a\x00b", 1) {
		if err == nil {
			t.Error("read a log whose name has a NUL")
		}
	}
	wantLen(t, l, "a", 0)
}

func testReadPages(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	const n = 1500
	var answers []<-chan error
	for i := range n / 50 {
		a := store.Append{Log: "a", Expect: uint64(50 * i)}
		for j := range 50 {
			data := fmt.Appendf(nil, "%d:", 50*i+j+1)
			a.Records = append(a.Records, append(data, make([]byte, (50*i+j)*7%4000)...))
		}
		answers = append(answers, l.Submit([]store.Append{a}, nil))
	}
	for _, answer := range answers {
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	for _, from := range []uint64{1, 2, 512, 513, 514, 1400, n, n + 1} {
		want := from
		for _, r := range read(t, l, "a", from) {
			head, rest, _ := bytes.Cut(r.Data, []byte(":"))
			if r.Seq != want || string(head) != fmt.Sprint(want) || len(rest) != int(want-1)*7%4000 {
				t.Fatalf("from %d: record %d is %s with %d bytes, want %d", from, r.Seq, head, len(rest), want)
			}
			want++
		}
		if want != n+1 {
			t.Errorf("from %d: ended before %d", from, want)
		}
	}
	for r, err := range l.Read(t.Context(), "a", 10) {
		if err != nil || r.Seq != 10 {
			t.Errorf("first of those from 10: %d, %v", r.Seq, err)
		}
		break
	}
}

// testReadGrowing appends in the middle of a Read: no transaction is open while
// the caller has the word, and the read goes to the log's new end.
func testReadGrowing(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	const first = 600 // more than a page
	for i := range first / 100 {
		appendTo(t, l, "a", uint64(100*i), make([]string, 100)...)
	}
	var got uint64
	for r, err := range l.Read(t.Context(), "a", 1) {
		if err != nil {
			t.Fatal(err)
		}
		if got = r.Seq; got == 1 {
			appendTo(t, l, "a", first, make([]string, 100)...)
		}
	}
	if got != first+100 {
		t.Errorf("read up to %d, want %d", got, first+100)
	}
}

func testList(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	for _, log := range []string{"run/2", "run/1", "env/production", "run", "run/1/x", "run/\xff\xff", "s"} {
		appendTo(t, l, log, 0, "x")
	}
	for prefix, want := range map[string]string{
		"":           `"env/production" "run" "run/1" "run/1/x" "run/2" "run/\xff\xff" "s"`,
		"run/":       `"run/1" "run/1/x" "run/2" "run/\xff\xff"`,
		"run/\xff":   `"run/\xff\xff"`,
		"run/1":      `"run/1" "run/1/x"`,
		"production": ``,
	} {
		var got []string
		for h, err := range l.List(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			if h.Head != (store.Head{Len: 1, Hash: chainHash(h.Log, "x")}) {
				t.Errorf("%q has head %v", h.Log, h.Head)
			}
			got = append(got, fmt.Sprintf("%q", h.Log))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("prefix %q: got %s, want %s", prefix, got, want)
		}
	}
	for range l.List(t.Context(), "") {
		break
	}
}

func testPlain(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	ctx := t.Context()
	if v, err := l.Get(ctx, "a"); v != nil || err != nil {
		t.Errorf("got %q, %v, want none", v, err)
	}
	sets := []store.Set{{Key: "empty", Value: []byte{}}}
	for i := range 1200 { // more than two pages
		sets = append(sets, store.Set{Key: fmt.Sprintf("n/%04d", i), Value: fmt.Append(nil, i)})
	}
	for len(sets) > 0 {
		n := min(len(sets), store.MaxTxnOps)
		if err := l.Set(ctx, sets[:n]...); err != nil {
			t.Fatal(err)
		}
		sets = sets[n:]
	}
	if err := l.Set(ctx, store.Set{Key: "n/0003"}, store.Set{Key: "none"}); err != nil {
		t.Fatal(err)
	}
	if v, err := l.Get(ctx, "empty"); v == nil || len(v) > 0 || err != nil {
		t.Errorf("got %q, %v, want an empty value", v, err)
	}
	if v, err := l.Get(ctx, "n/0003"); v != nil || err != nil {
		t.Errorf("got %q, %v for a key that was deleted", v, err)
	}
	want := 0
	for p, err := range l.Keys(ctx, "n/") {
		if err != nil {
			t.Fatal(err)
		}
		if want == 3 {
			want++
		}
		if string(p.Key) != fmt.Sprintf("n/%04d", want) || string(p.Value) != fmt.Sprint(want) {
			t.Fatalf("got %q=%q, want %d", p.Key, p.Value, want)
		}
		want++
	}
	if want != 1200 {
		t.Errorf("keys end before %d", want)
	}
}

func recordKey(log string, seq uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte("l/"+log+"\x00"), seq))
}

func testTampering(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	h := func(datas ...string) string {
		hash := chainHash("x", datas...)
		return string(hash[:])
	}
	head := func(n uint64, hash string) string {
		return string(binary.BigEndian.AppendUint64(nil, n)) + hash
	}
	const gone = "\x00gone"
	tests := []struct {
		name  string
		pairs []string // keys and values to write behind the log's back
		names string   // what the error says, besides the log's name
	}{
		{"data changed", []string{recordKey("x", 2), h("a", "b") + "B"}, "record 2"},
		{"data and hash changed", []string{recordKey("x", 2), h("a", "B") + "B"}, "record 3"},
		{"last data and hash changed", []string{recordKey("x", 4), h("a", "b", "c", "D") + "D"}, "record 4"},
		{"hash changed", []string{recordKey("x", 1), h("b") + "a"}, "record 1"},
		{"record shorter than a hash", []string{recordKey("x", 3), "c"}, "record 3"},
		{"record empty", []string{recordKey("x", 3), ""}, "record 3"},
		{"first record gone", []string{recordKey("x", 1), gone}, "record 1"},
		{"middle record gone", []string{recordKey("x", 3), gone}, "record 3"},
		{"last record gone", []string{recordKey("x", 4), gone}, "record 4"},
		{"head gone", []string{"h/x", gone}, "record 1"},
		{"head too short", []string{"h/x", "1"}, "head"},
		{"head empty", []string{"h/x", ""}, "head"},
		{"head without records", []string{"h/x", head(0, h())}, "head"},
		{"head with another hash", []string{"h/x", head(4, h("a"))}, "record 4"},
		{"head set back", []string{"h/x", head(3, h("a", "b", "c"))}, "record 4"},
		{"head too far", []string{"h/x", head(5, h("a", "b", "c", "d"))}, "record 5"},
		{"a key that is none", []string{recordKey("x", 2) + "y", "z"}, "no record"},
		{"records swapped", []string{recordKey("x", 2), h("a", "b", "c") + "c", recordKey("x", 3), h("a", "b") + "b"}, "record 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := t.Context()
			// Whatever the test before left behind goes.
			err := s.Update(ctx, func(tx store.Txn) error {
				var keys [][]byte
				for p, err := range tx.Scan(nil, nil) {
					if err != nil {
						return err
					}
					if p.Key[0] == 'l' || p.Key[0] == 'h' {
						keys = append(keys, bytes.Clone(p.Key))
					}
				}
				for _, key := range keys {
					if err := tx.Delete(key); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			appendTo(t, l, "x", 0, "a", "b", "c", "d")
			appendTo(t, l, "y", 0, "bystander")
			err = s.Update(ctx, func(tx store.Txn) error {
				for i := 0; i < len(tt.pairs); i += 2 {
					key, value := []byte(tt.pairs[i]), []byte(tt.pairs[i+1])
					if string(value) == gone {
						err = tx.Delete(key)
					} else {
						err = tx.Put(key, value)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.Verify(ctx, "x")
			if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), `"x"`) || !strings.Contains(err.Error(), tt.names) {
				t.Errorf("got %v, want store.ErrCorrupt that names %q and %q", err, "x", tt.names)
			}
			if _, err := l.Verify(ctx, "y"); err != nil {
				t.Errorf("the log beside it: %v", err)
			}
		})
	}
}

func testBlobs(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	ctx := t.Context()
	for _, size := range []int{0, 1, store.ChunkBytes - 1, store.ChunkBytes, store.ChunkBytes + 1, 5*store.ChunkBytes + 77} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i * (i >> 8))
		}
		for range 2 {
			sha, err := l.PutBlob(ctx, data)
			if err != nil || sha != sha256.Sum256(data) {
				t.Fatalf("%d bytes: %s, %v", size, sha, err)
			}
		}
		got, err := l.GetBlob(ctx, sha256.Sum256(data))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: got %d back, %v", size, len(got), err)
		}
	}
	if _, err := l.GetBlob(ctx, sha256.Sum256([]byte("never stored"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a blob that is not there: %v, want fs.ErrNotExist", err)
	}
}

// blobKeys returns the key of data's record and those of its chunks.
func blobKeys(data []byte) []string {
	key := fmt.Sprintf("b/%x", sha256.Sum256(data))
	keys := []string{key}
	for n := 0; n*store.ChunkBytes < len(data); n++ {
		keys = append(keys, string(binary.BigEndian.AppendUint32([]byte(key+"/"), uint32(n))))
	}
	return keys
}

func testBlobTampering(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	data := bytes.Repeat([]byte("playbook"), store.ChunkBytes/4) // two chunks
	keys := blobKeys(data)
	tests := []struct {
		name, key, value string
	}{
		{"record too short", keys[0], "x"},
		{"record with a huge size", keys[0], strings.Repeat("\xff", 12)},
		{"record with a wrong number of chunks", keys[0], "\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x03"},
		{"chunk changed", keys[1], strings.Repeat("x", store.ChunkBytes)},
		{"chunk cut short", keys[2], "x"},
		{"chunk emptied", keys[2], ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sha, err := l.PutBlob(t.Context(), data)
			if err != nil {
				t.Fatal(err)
			}
			before := string(get(t, s, tt.key))
			put(t, s, tt.key, tt.value)
			if _, err := l.GetBlob(t.Context(), sha); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("got %v, want store.ErrCorrupt", err)
			}
			put(t, s, tt.key, before)
		})
	}
	err := s.Update(t.Context(), func(tx store.Txn) error { return tx.Delete([]byte(keys[1])) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.GetBlob(t.Context(), sha256.Sum256(data)); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a chunk is missing: got %v, want store.ErrCorrupt", err)
	}
}

// testBlobInterrupted takes away what PutBlob writes last, as if it had been
// stopped before: then there is no blob, and doing it again completes it.
func testBlobInterrupted(t *testing.T, s store.Store) {
	l := store.NewLogs(s)
	data := bytes.Repeat([]byte("playbook"), store.ChunkBytes/4)
	sha, err := l.PutBlob(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	keys := blobKeys(data)
	err = s.Update(t.Context(), func(tx store.Txn) error {
		return errors.Join(tx.Delete([]byte(keys[0])), tx.Delete([]byte(keys[2])))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.GetBlob(t.Context(), sha); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a blob: got %v, want fs.ErrNotExist", err)
	}
	if _, err := l.PutBlob(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	if got, err := l.GetBlob(t.Context(), sha); err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

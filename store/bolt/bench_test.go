package bolt_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
)

const (
	benchWriters = 100
	benchRecord  = 1 << 10
)

// concurrently runs n operations, shared out among benchWriters goroutines, and
// returns how many there were in a second. Op gets the writer's number and the
// number of its operation.
func concurrently(b *testing.B, n int, op func(w, i int) error) float64 {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	begin := time.Now()
	for w := range benchWriters {
		wg.Go(func() {
			for i := 0; left.Add(-1) >= 0; i++ {
				if err := op(w, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(begin).Seconds()
}

// rawAppends puts the same keys and as many bytes as Logs.Append does.
func rawAppends(b *testing.B, delay time.Duration) func(w, i int) error {
	b.Helper()
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	bucket := []byte("muster")
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	db.MaxBatchSize = benchWriters
	db.MaxBatchDelay = delay
	record, head := make([]byte, 32+benchRecord), make([]byte, 40)
	return func(w, i int) error {
		return db.Batch(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucket)
			key := binary.BigEndian.AppendUint64(fmt.Appendf(nil, "l/run/%03d\x00", w), uint64(i+1))
			if err := b.Put(key, record); err != nil {
				return err
			}
			return b.Put(fmt.Appendf(nil, "h/run/%03d", w), head)
		})
	}
}

// BenchmarkAppend compares appends of one record by 100 writers with the same
// bytes put by raw bbolt, whose MaxBatchDelay is the best of several, in one run.
// Everything is synced.
func BenchmarkAppend(b *testing.B) {
	var best time.Duration
	var bestRate float64
	for _, delay := range []time.Duration{0, 200 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond} {
		if rate := concurrently(b, 2000, rawAppends(b, delay)); rate > bestRate {
			best, bestRate = delay, rate
		}
	}
	s := open(b, filepath.Join(b.TempDir(), "muster.db"), bolt.Options{})
	l := store.NewLogs(s)
	raw := rawAppends(b, best)
	record := bytes.Repeat([]byte("x"), benchRecord)

	b.ReportAllocs()
	b.ResetTimer()
	ours := concurrently(b, b.N, func(w, i int) error {
		a := store.Append{Log: fmt.Sprintf("run/%03d", w), Expect: uint64(i), Records: [][]byte{record}}
		return l.Append(b.Context(), []store.Append{a}, nil)
	})
	b.StopTimer()
	theirs := concurrently(b, b.N, raw)
	b.ReportMetric(ours, "appends/s")
	b.ReportMetric(theirs, "raw/s")
	b.ReportMetric(float64(best.Microseconds()), "raw-delay-µs")
	b.ReportMetric(ours/theirs, "ratio")
}

// BenchmarkRead reads and verifies logs of 500 records, as a restart does.
func BenchmarkRead(b *testing.B) {
	const logs, each = 100, 500
	s := open(b, filepath.Join(b.TempDir(), "muster.db"), bolt.Options{})
	l := store.NewLogs(s)
	for i := range logs {
		for n := 0; n < each; n += 100 {
			a := store.Append{Log: fmt.Sprintf("run/%03d", i), Expect: uint64(n)}
			for range 100 {
				a.Records = append(a.Records, make([]byte, benchRecord))
			}
			if err := l.Append(b.Context(), []store.Append{a}, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.SetBytes(each * benchRecord)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for _, err := range l.Read(b.Context(), fmt.Sprintf("run/%03d", i%logs), 1) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkOpen opens the largest file that is checked as a whole.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "muster.db")
	s := open(b, path, bolt.Options{})
	l := store.NewLogs(s)
	for i := range 430 {
		a := store.Append{Log: fmt.Sprintf("run/%03d", i)}
		for range 100 {
			a.Records = append(a.Records, make([]byte, benchRecord))
		}
		if err := l.Append(b.Context(), []store.Append{a}, nil); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		s = open(b, path, bolt.Options{})
	}
}

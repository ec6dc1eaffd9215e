package bolt_test
import ("testing";"fmt";"bytes";"path/filepath";"time"
 bbolt "go.etcd.io/bbolt"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt")
func BenchmarkTmp(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "muster.db"), bolt.Options{})
	l := store.NewLogs(s)
	n := 0
	var d time.Duration
	s.SetCommit(func(tx *bbolt.Tx) error { n++; t:=time.Now(); err:=tx.Commit(); d+=time.Since(t); return err })
	record := bytes.Repeat([]byte("x"), benchRecord)
	ours := concurrently(b, b.N, func(w, i int) error {
		a := store.Append{Log: fmt.Sprintf("run/%03d", w), Expect: uint64(i), Records: [][]byte{record}}
		return l.Append(b.Context(), []store.Append{a}, nil)
	})
	b.ReportMetric(ours, "appends/s")
	b.ReportMetric(float64(b.N)/float64(n), "batch")
	b.ReportMetric(float64(d.Microseconds())/float64(n), "commit-µs")
	b.ReportMetric(float64(d)/float64(b.N), "commit-ns/op")
}
func BenchmarkTmpRaw(b *testing.B) {
	for range 1 {
	b.ReportMetric(concurrently(b, b.N, rawAppends(b, time.Millisecond)), "raw/s")
	}
}
func TestTmpSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "muster.db")
	s := open(t, path, bolt.Options{})
	l := store.NewLogs(s)
	record := bytes.Repeat([]byte("x"), 700)
	for i := range 30 {
		var as []<-chan error
		for w := range 100 { for j := range 3 {
		as = append(as, l.Submit([]store.Append{{Log: fmt.Sprintf("run/%03d", w), Expect: uint64(i*6+2*j), Records: [][]byte{record,record}}}, nil)) }
		}
		for _, a := range as { if err := <-a; err != nil { t.Fatal(err) } }
	}
	s.Close()
	db, _ := bbolt.Open(path, 0o600, nil)
	db.View(func(tx *bbolt.Tx) error { st := tx.Bucket([]byte("muster")).Stats(); t.Logf("%+v size %d free %d", st, tx.Size(), db.Stats().FreePageN); return nil })
	db.Close()
}

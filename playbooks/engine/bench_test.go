package engine_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
)

const (
	benchRuns  = 100
	benchChain = 500 // modules in a chain: a deployment and a verification each
)

// instant is a platform where everything works at once, and says about 1.5 KB
// of it, so that events are about 1 KB on average.
type instant struct {
	began func(steps.Order)
	fails string // modules whose name ends with this fail; empty: none
}

var excerpt = strings.Repeat("level=info msg=ready ", 72)

func (r instant) Start(_ context.Context, o steps.Order) (steps.Report, error) {
	if r.began != nil {
		r.began(o)
	}
	if r.fails != "" && strings.HasSuffix(o.Place.Module, r.fails) {
		return steps.Report{Phase: steps.Failed, Message: "the last one fails"}, nil
	}
	report := steps.Report{Phase: steps.Succeeded, Message: "ready", Evidence: []playbooks.Evidence{{Name: "log", Text: excerpt}}}
	if o.Action == playbooks.StepVerify {
		report.Live = &playbooks.Live{Place: o.Place, Version: o.Version, Healthy: true}
	}
	return report, nil
}
func (r instant) Look(ctx context.Context, o steps.Order) (steps.Report, error) {
	return r.Start(ctx, o)
}
func (instant) Stop(context.Context, steps.Order) error { return nil }

func (i instant) runners() map[playbooks.StepKind]steps.Runner {
	runners := make(map[playbooks.StepKind]steps.Runner)
	for _, kind := range []playbooks.StepKind{playbooks.StepDeploy, playbooks.StepVerify, playbooks.StepNotify, playbooks.StepRollback, playbooks.StepRemove} {
		runners[kind] = i
	}
	return runners
}

// chains is a catalog of n chains that have nothing to do with each other, of
// ten environments, and of one that asks for approval.
func chains(n, length int) *playbooks.Catalog {
	c := &playbooks.Catalog{
		People: []playbooks.Person{{ID: "dev"}, {ID: "lea"}},
		Groups: []playbooks.Group{{Name: "leads", Members: []string{"lea"}}},
		Access: []playbooks.Access{{Who: []string{"dev"}, Role: playbooks.Admin}},
	}
	for i := range 10 {
		c.Environments = append(c.Environments, playbooks.Environment{Name: fmt.Sprint("env", i), Approvals: &playbooks.ApprovalPolicy{None: true}})
	}
	c.Environments = append(c.Environments, playbooks.Environment{Name: "asks", Approvals: &playbooks.ApprovalPolicy{
		Rules: []playbooks.ApprovalRule{{Group: "leads", Count: 1}}, ExcludeRequester: true,
	}})
	for i := range n {
		for k := range length {
			m := playbooks.Module{Name: fmt.Sprintf("c%03d-%03d", i, k), Version: "v1.0.0"}
			if k > 0 {
				m.Needs = []playbooks.Need{{Module: fmt.Sprintf("c%03d-%03d", i, k-1)}}
			}
			c.Modules = append(c.Modules, m)
		}
	}
	return c
}

func chainRequest(i, length int) playbooks.Request {
	request := playbooks.Request{Environment: fmt.Sprint("env", i%10)}
	for k := range length {
		request.Modules = append(request.Modules, playbooks.ModuleRef{Name: fmt.Sprintf("c%03d-%03d", i/10, k), Version: "v1.0.0"})
	}
	return request
}

func openEngine(b testing.TB, path string, catalog *playbooks.Catalog, platform instant) (*engine.Engine, *store.Logs, func()) {
	b.Helper()
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	logs := store.NewLogs(s)
	e, err := engine.Open(context.Background(), engine.Options{
		Logs: logs, Runners: platform.runners(), Policy: playbooks.NewPolicy(catalog),
	})
	if err != nil {
		b.Fatal(err)
	}
	return e, logs, func() {
		e.Stop()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEngine runs 100 chains of 1,000 steps at once on bbolt with fsync, from
// the moment when all of them stand at their first deployment, and then lets 100
// writers put the same bytes with bolt.DB.Batch, at the best of several
// MaxBatchDelays. It reports appends a second of both, their ratio, and steps a second.
// While it goes on people approve other runs: reported is the time until the answer and
// the start of the next step are durable, and until the first deployment.
//
//	go test ./playbooks/engine -run '^$' -bench Engine -benchtime 1x
func BenchmarkEngine(b *testing.B) {
	for b.Loop() {
		catalog := chains(benchRuns/10+1, benchChain)
		p := &pacer{line: make(chan struct{}), approvedAt: make(map[string]time.Time)}
		e, logs, closing := openEngine(b, filepath.Join(b.TempDir(), "muster.db"), catalog, instant{began: p.began})
		runs := make(map[string]bool)
		for i := range benchRuns {
			pb, err := e.Plan(b.Context(), chainRequest(i, benchChain))
			if err != nil {
				b.Fatal(err)
			}
			run, err := e.Start(b.Context(), playbooks.Command{By: "dev", Digest: pb.Digest})
			if err != nil {
				b.Fatal(err)
			}
			runs[run] = true
		}
		var waiting []string // other runs, of single modules, that wait for approval
		for _, m := range chainRequest(benchRuns, benchChain).Modules[:200] {
			pb, err := e.Plan(b.Context(), playbooks.Request{Environment: "asks", Modules: []playbooks.ModuleRef{m}})
			if err != nil {
				b.Fatal(err)
			}
			run, err := e.Start(b.Context(), playbooks.Command{By: "dev", Digest: pb.Digest})
			if err != nil {
				b.Fatal(err)
			}
			waiting = append(waiting, run)
		}
		for p.standing() < benchRuns {
			time.Sleep(time.Millisecond)
		}

		start := time.Now()
		close(p.line)
		busy := make(chan struct{})
		go func() {
			defer close(busy)
			for ; len(runs) > 0; time.Sleep(time.Millisecond) {
				open := e.OpenRuns()
				for run := range runs {
					if !slices.Contains(open, run) {
						delete(runs, run)
					}
				}
			}
		}()
		var answered []time.Duration
		for _, run := range waiting {
			select {
			case <-busy:
				continue
			case <-time.After(10 * time.Millisecond):
			}
			at := time.Now()
			p.approving(run)
			if err := e.Do(b.Context(), playbooks.Command{Kind: playbooks.CommandApprove, By: "lea", Run: run}); err != nil {
				b.Fatal(err)
			}
			answered = append(answered, time.Since(at))
		}
		<-busy
		took := time.Since(start)

		var events, bytes int
		for rec, err := range logs.Read(b.Context(), "run/1", 1) {
			if err != nil {
				b.Fatal(err)
			}
			events++
			bytes += len(rec.Data)
		}
		closing()
		const appends = benchRuns * 2 * benchChain // each step is one: its outcome with the next one's start
		rate := appends / took.Seconds()
		raw, delay := rawBatch(b, appends, 2*bytes/events)
		b.ReportMetric(rate, "appends/s")
		b.ReportMetric(raw, "raw-appends/s")
		b.ReportMetric(rate/raw, "ratio")
		b.ReportMetric(appends/took.Seconds(), "steps/s")
		b.ReportMetric(float64(bytes)/float64(events), "bytes/event")
		b.ReportMetric(percentile(answered, 95), "approval-to-next-step-p95-ms")
		b.ReportMetric(percentile(p.waits, 95), "approval-to-deployment-p95-ms")
		b.Logf("raw at MaxBatchDelay %v; %d approvals", delay, len(answered))
	}
}

func percentile(all []time.Duration, p int) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return float64(all[len(all)*p/100].Microseconds()) / 1000
}

// pacer holds runs at their first deployment until the line is open, and takes the time
// from an approval to the first deployment.
type pacer struct {
	line chan struct{}

	mu         sync.Mutex
	stands     int
	approvedAt map[string]time.Time
	waits      []time.Duration
}

func (p *pacer) began(o steps.Order) {
	if o.Action != playbooks.StepDeploy {
		return
	}
	p.mu.Lock()
	at, approved := p.approvedAt[o.Run]
	if approved {
		p.waits = append(p.waits, time.Since(at))
		delete(p.approvedAt, o.Run)
	} else if strings.HasSuffix(o.Place.Module, "-000") {
		p.stands++
	}
	p.mu.Unlock()
	if !approved {
		<-p.line
	}
}

func (p *pacer) standing() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stands
}

func (p *pacer) approving(run string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.approvedAt[run] = time.Now()
}

// rawBatch is how fast 100 writers append with nothing but bolt.DB.Batch: two
// records and a head each time, as an append of the engine has them.
func rawBatch(b testing.TB, appends, size int) (best float64, at time.Duration) {
	b.Helper()
	record := []byte(strings.Repeat("x", size/2))
	for _, delay := range []time.Duration{0, 500 * time.Microsecond, 2 * time.Millisecond, 10 * time.Millisecond} {
		db, err := bbolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
		if err != nil {
			b.Fatal(err)
		}
		db.MaxBatchDelay = delay
		db.MaxBatchSize = benchRuns
		if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("b")); return err }); err != nil {
			b.Fatal(err)
		}
		each := appends / 4 / benchRuns
		start := time.Now()
		var writers sync.WaitGroup
		for w := range benchRuns {
			writers.Go(func() {
				for i := range each {
					err := db.Batch(func(tx *bbolt.Tx) error {
						bucket := tx.Bucket([]byte("b"))
						for k := range 2 {
							if err := bucket.Put(fmt.Appendf(nil, "l/run/%d/%08d", w, 2*i+k), record); err != nil {
								return err
							}
						}
						return bucket.Put(fmt.Appendf(nil, "h/run/%d", w), strconv.AppendInt(nil, int64(i), 10))
					})
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		writers.Wait()
		if rate := float64(each*benchRuns) / time.Since(start).Seconds(); rate > best {
			best, at = rate, delay
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
	return best, at
}

// BenchmarkRestart fills a store with 1,000 unfinished runs of about 500 events,
// which failed at their last module and wait for somebody to approve the way back,
// and 5,000 finished ones of about 100. It reports how long it takes to
// open it, how long the slowest of the first answers takes, how long it takes when all
// approvals are answered at the same time, and the heap before that.
//
//	go test ./playbooks/engine -run '^$' -bench Restart -benchtime 1x
func BenchmarkRestart(b *testing.B) {
	const unfinished, finished, environments = 1000, 5000, 100
	path := filepath.Join(b.TempDir(), "muster.db")
	catalog := chains(unfinished/environments+1, 120)
	catalog.Environments = nil
	for i := range environments {
		catalog.Environments = append(catalog.Environments, playbooks.Environment{
			Name: fmt.Sprint("env", i), Approvals: &playbooks.ApprovalPolicy{None: true}, OnFailure: playbooks.RollBack,
		})
	}
	e, logs, closing := openEngine(b, path, catalog, instant{fails: "-119"})
	plan := func(environment, chain, length int) playbooks.Digest {
		request := chainRequest(10*chain, length)
		request.Environment = fmt.Sprint("env", environment)
		pb, err := e.Plan(b.Context(), request)
		if err != nil {
			b.Fatal(err)
		}
		return pb.Digest
	}
	begin := func(digest playbooks.Digest) {
		if _, err := e.Start(b.Context(), playbooks.Command{By: "dev", Digest: digest}); err != nil {
			b.Fatal(err)
		}
	}
	for env := range environments {
		over := plan(env, unfinished/environments, 24)
		for range finished / environments {
			begin(over)
		}
		for chain := range unfinished / environments {
			begin(plan(env, chain, 120))
		}
	}
	waiting := func() (n int) {
		for _, run := range e.OpenRuns() {
			if err := e.View(b.Context(), run, func(v engine.View) error { n += len(v.Run.OpenApprovals()); return nil }); err != nil {
				b.Fatal(err)
			}
		}
		return n
	}
	for len(e.OpenRuns()) > unfinished || waiting() < unfinished {
		time.Sleep(100 * time.Millisecond)
	}
	long, err := logs.Head(b.Context(), "run/"+e.OpenRuns()[0])
	if err != nil {
		b.Fatal(err)
	}
	closing()
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	if b.N > 1 {
		b.Skip("the approvals can be given once: run with -benchtime 1x")
	}
	for range b.N {
		runtime.GC()
		start := time.Now()
		e, _, closing := openEngine(b, path, catalog, instant{fails: "-119"})
		e.Resume()
		opened := time.Since(start)
		runtime.GC()
		var idle runtime.MemStats
		runtime.ReadMemStats(&idle)
		runs := e.OpenRuns()
		approve := func(run string) {
			if err := e.Do(context.Background(), playbooks.Command{Kind: playbooks.CommandApprove, By: "dev", Run: run}); err != nil {
				b.Error(err)
			}
		}
		var slowest time.Duration // of the first answers, each in an environment that was not read yet
		for _, run := range runs[:20] {
			start = time.Now()
			approve(run)
			slowest = max(slowest, time.Since(start))
		}
		start = time.Now()
		var people sync.WaitGroup
		for part := range slices.Chunk(runs[20:], (len(runs)+15)/16) {
			people.Go(func() {
				for _, run := range part {
					approve(run)
				}
			})
		}
		people.Wait()
		all := time.Since(start)
		closing()
		b.ReportMetric(float64(long.Len), "events/waiting-run")
		b.ReportMetric(float64(info.Size()>>20), "file-MB")
		b.ReportMetric(float64(opened.Milliseconds()), "open-ms")
		b.ReportMetric(float64(slowest.Milliseconds()), "slowest-first-answer-ms")
		b.ReportMetric(float64(all.Milliseconds()), "all-at-once-ms")
		b.ReportMetric(float64(idle.HeapInuse>>20), "idle-heap-MB")
		b.ReportMetric(float64(len(runs)), "approvals")
	}
}

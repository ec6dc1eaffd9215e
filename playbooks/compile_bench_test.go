package playbooks_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// largeCatalog has n modules with ten needs each, some with constraints.
func largeCatalog(n int) *playbooks.Catalog {
	r := rand.New(rand.NewPCG(uint64(n), 2))
	c := &playbooks.Catalog{Environments: []playbooks.Environment{{Name: "production",
		Approvals: &playbooks.ApprovalPolicy{Rules: []playbooks.ApprovalRule{{Group: "sre", Count: 2}}}}}}
	for i := range n {
		m := playbooks.Module{Name: fmt.Sprintf("team-%d/service-%05d", i%40, i), Version: fmt.Sprintf("v1.%d.%d", i%30, i%7)}
		for k := 0; k < 10 && i > 10; k++ {
			// Mostly neighbours, so that the graph has many waves.
			to := max(0, i-1-r.IntN(200))
			if k == 0 {
				to = r.IntN(i)
			}
			need := playbooks.Need{Module: fmt.Sprintf("team-%d/service-%05d", to%40, to), Kind: playbooks.NeedDeploy}
			if k == 1 {
				need.Constraint, need.Reason = ">=1.0", "serves its requests"
			}
			m.Needs = append(m.Needs, need)
		}
		c.Modules = append(c.Modules, m)
	}
	r.Shuffle(n, func(i, j int) { c.Modules[i], c.Modules[j] = c.Modules[j], c.Modules[i] })
	return c
}

// BenchmarkCompile reports how long a plan of a whole large catalog takes.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		c := largeCatalog(n)
		edges := 0
		for i := range c.Modules {
			edges += len(c.Modules[i].Needs)
		}
		b.Run(fmt.Sprintf("modules=%d/edges=%d", n, edges), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustCompile(b, c, everything, playbooks.Facts{})
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/plan")
		})
	}
}

// BenchmarkCompileGrowth compares 10,000 modules with 1,000 in one run: a ratio
// of 1 for each module is linear growth.
func BenchmarkCompileGrowth(b *testing.B) {
	small, large := largeCatalog(1000), largeCatalog(10000)
	var smallTime, largeTime time.Duration
	for b.Loop() {
		start := time.Now()
		for range 10 {
			mustCompile(b, small, everything, playbooks.Facts{})
		}
		smallTime += time.Since(start)
		start = time.Now()
		mustCompile(b, large, everything, playbooks.Facts{})
		largeTime += time.Since(start)
	}
	b.ReportMetric(float64(largeTime)/float64(smallTime), "10k/1k-per-module")
}

// BenchmarkCompileHalf releases every second module: what needs what goes
// through modules that stay as they are.
func BenchmarkCompileHalf(b *testing.B) {
	c := largeCatalog(10000)
	req := playbooks.Request{Environment: "production"}
	for i := range c.Modules {
		if i%2 == 0 {
			req.Modules = append(req.Modules, playbooks.ModuleRef{Name: c.Modules[i].Name})
		}
	}
	for b.Loop() {
		mustCompile(b, c, req, playbooks.Facts{})
	}
}

package playbooks_test

import (
	"flag"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/muster-release/muster/playbooks"
)

var makespanSeeds = flag.Int("makespan-seeds", 20, "how many sets of durations TestMakespan draws for each graph and limit")

// job is a deployment in a model that knows nothing of playbooks.
type job struct {
	takes time.Duration
	needs []int
	after []int
}

// TestMakespan lets the planner's and the engine's decisions release each real
// graph under different limits, and compares how long that takes with the best of
// 1,000 schedules that start whatever is ready in random order.
func TestMakespan(t *testing.T) {
	worst := 0.0
	for _, file := range graphFiles(t) {
		bound := make(map[int][]float64)
		random := make(map[int][]float64)
		for seed := range uint64(*makespanSeeds) {
			catalog := graphCatalog(t, file)
			rng := rand.New(rand.NewPCG(seed+1, 0))
			for i := range catalog.Modules {
				takes := time.Duration(math.Exp(rng.NormFloat64()*0.8+3) * float64(time.Second)).Round(time.Millisecond)
				catalog.Modules[i].Deploy = map[string]playbooks.Delivery{"": {Estimate: takes}}
			}
			for _, limit := range []int{2, 4, 8, 0} {
				catalog.Environments[0].Limit = limit
				pb := mustCompile(t, catalog, everything, playbooks.Facts{})
				ours := release(t, catalog, pb)
				jobs := jobsOf(pb)
				best := bestOfRandom(jobs, limit, 1000, rng)
				ratio := float64(ours) / float64(best)
				worst = max(worst, ratio)
				if ratio > 1.05 {
					t.Errorf("%s, limit %d, seed %d: %v, the best random schedule takes %v", filepath.Base(file), limit, seed+1, ours, best)
				}
				bound[limit] = append(bound[limit], float64(ours)/float64(lowerBound(jobs, limit)))
				random[limit] = append(random[limit], ratio)
			}
		}
		for _, limit := range []int{2, 4, 8, 0} {
			t.Logf("%-45s limit %d: to the best of 1,000 random schedules at most %.3f, to max(critical path, work/limit) at most %.3f",
				filepath.Base(file), limit, slices.Max(random[limit]), slices.Max(bound[limit]))
		}
	}
	t.Logf("worst ratio to the best random schedule: %.3f", worst)
}

// release follows the decisions of Advance through a release without an engine:
// each step takes its estimate, everything else no time.
func release(t *testing.T, catalog *playbooks.Catalog, pb *playbooks.Playbook) time.Duration {
	t.Helper()
	book := playbooks.NewBook(pb)
	policy := playbooks.NewPolicy(catalog)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start
	env := playbooks.NewEnvironmentState("production")
	run := playbooks.NewRun("1", func(playbooks.Digest) (*playbooks.Book, error) { return book, nil })
	apply := func(e playbooks.Event) {
		e.Time = now
		if err := run.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	apply(playbooks.Event{Type: playbooks.EventCreated, By: "dev", Environment: "production", Digest: pb.Digest})
	ends := make(map[string]time.Time)
	for !run.Over() {
		room := 1 << 30
		if limit := catalog.Environments[0].Limit; limit > 0 {
			room = limit - run.Effects()
		}
		d := playbooks.Advance(run, env, policy, now, room)
		for _, e := range d.Env {
			if err := env.Apply(e); err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range d.Run {
			apply(e)
			if e.Type == playbooks.EventStarted {
				step := book.Lookup(e.Step)
				ends[e.Step] = now
				if step.Kind.HasEffect() {
					ends[e.Step] = now.Add(step.Estimate)
				}
			}
		}
		if !d.Empty() {
			continue
		}
		next := ""
		for id, end := range ends {
			if next == "" || end.Before(ends[next]) || end.Equal(ends[next]) && id < next {
				next = id
			}
		}
		if next == "" {
			if run.Over() {
				break
			}
			t.Fatalf("the release stands still at %v", now.Sub(start))
		}
		now = ends[next]
		delete(ends, next)
		apply(playbooks.Event{Type: playbooks.EventSucceeded, Step: next, Attempt: 1})
	}
	return now.Sub(start)
}

// jobsOf reads the order of modules off the playbook's JSON, as an outsider would.
func jobsOf(pb *playbooks.Playbook) []job {
	at := make(map[string]int)
	group := make(map[string]int)
	for i, g := range pb.Groups {
		for _, m := range g {
			group[m] = i + 1
		}
	}
	jobs := make([]job, len(pb.Modules))
	for i, m := range pb.Modules {
		at[m.Name] = i
	}
	for _, s := range pb.Steps {
		if s.Kind == playbooks.StepDeploy {
			jobs[at[s.Module]].takes = s.Estimate
		}
	}
	need := func(i, j int) {
		if i != j && !slices.Contains(jobs[i].needs, j) {
			jobs[i].needs = append(jobs[i].needs, j)
			jobs[j].after = append(jobs[j].after, i)
		}
	}
	for _, m := range pb.Modules {
		for _, n := range m.Needs {
			_, inside := at[n.Module]
			if !inside || n.Kind == playbooks.NeedTest || group[m.Name] != 0 && group[m.Name] == group[n.Module] {
				continue
			}
			// A cycle goes as one: its members begin together and are needed together.
			from, to := []string{m.Name}, []string{n.Module}
			if g := group[m.Name]; g != 0 {
				from = pb.Groups[g-1]
			}
			if g := group[n.Module]; g != 0 {
				to = pb.Groups[g-1]
			}
			for _, a := range from {
				for _, b := range to {
					need(at[a], at[b])
				}
			}
		}
	}
	return jobs
}

// bestOfRandom is the shortest of n list schedules with random priorities.
func bestOfRandom(jobs []job, limit, n int, rng *rand.Rand) time.Duration {
	if limit <= 0 {
		limit = len(jobs)
	}
	best := time.Duration(math.MaxInt64)
	priority := make([]int, len(jobs))
	open := make([]int, len(jobs))
	for range n {
		for i, p := range rng.Perm(len(jobs)) {
			priority[i] = p
			open[i] = len(jobs[i].needs)
		}
		best = min(best, listSchedule(jobs, limit, priority, open))
	}
	return best
}

func listSchedule(jobs []job, limit int, priority, open []int) time.Duration {
	var ready []int
	type busy struct {
		end time.Duration
		job int
	}
	var running []busy
	for i := range jobs {
		if open[i] == 0 {
			ready = append(ready, i)
		}
	}
	now := time.Duration(0)
	for len(ready) > 0 || len(running) > 0 {
		for len(running) < limit && len(ready) > 0 {
			pick := 0
			for k := range ready {
				if priority[ready[k]] < priority[ready[pick]] {
					pick = k
				}
			}
			j := ready[pick]
			ready[pick] = ready[len(ready)-1]
			ready = ready[:len(ready)-1]
			running = append(running, busy{now + jobs[j].takes, j})
		}
		first := 0
		for k := range running {
			if running[k].end < running[first].end {
				first = k
			}
		}
		now = running[first].end
		for _, a := range jobs[running[first].job].after {
			if open[a]--; open[a] == 0 {
				ready = append(ready, a)
			}
		}
		running[first] = running[len(running)-1]
		running = running[:len(running)-1]
	}
	return now
}

// lowerBound is what no schedule can beat: the longest chain, or all work
// spread over the limit.
func lowerBound(jobs []job, limit int) time.Duration {
	var work, longest time.Duration
	memo := make([]time.Duration, len(jobs))
	var path func(int) time.Duration
	path = func(i int) time.Duration {
		if memo[i] == 0 {
			for _, j := range jobs[i].needs {
				memo[i] = max(memo[i], path(j))
			}
			memo[i] += jobs[i].takes
		}
		return memo[i]
	}
	for i := range jobs {
		work += jobs[i].takes
		longest = max(longest, path(i))
	}
	if limit > 0 {
		return max(longest, work/time.Duration(limit))
	}
	return longest
}

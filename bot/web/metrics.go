package web

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

// Runs is what Census asks of the engine.
type Runs interface {
	OpenRuns() []string
	View(ctx context.Context, run string, fn func(engine.View) error) error
}

// unread is the status of runs that were not looked at yet since the start.
const unread = "not read yet"

// A scrape looks at so many changed runs at most, so that a restart with
// thousands of them is not held up by being watched.
const (
	readAtOnce = 100
	readTime   = 5 * time.Second
)

// Census counts the runs that are not over: it is a prometheus.Collector. A run
// is looked at again only after it has changed.
type Census struct {
	runs Runs

	mu    sync.Mutex
	seen  map[string]counted
	stale map[string]bool // changed since it was seen
}

// counted is what is known of a run.
type counted struct {
	status    playbooks.Status
	approvals int
	steps     map[playbooks.StepState]int
}

// NewCensus returns a census of runs.
func NewCensus(runs Runs) *Census {
	return &Census{runs: runs, seen: make(map[string]counted), stale: make(map[string]bool)}
}

// Changed says that a run has changed. It returns at once.
func (c *Census) Changed(run string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale[run] = true
}

var (
	openRunsDesc  = prometheus.NewDesc("muster_open_runs", "Runs that are not over, by what they do.", []string{"status"}, nil)
	approvalsDesc = prometheus.NewDesc("muster_approvals_waiting", "Approvals that people are asked for.", nil, nil)
	stepsDesc     = prometheus.NewDesc("muster_open_run_steps", "Steps of the runs that are not over, by where they stand.", []string{"state"}, nil)
)

// Describe implements prometheus.Collector.
func (c *Census) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{openRunsDesc, approvalsDesc, stepsDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Census) Collect(to chan<- prometheus.Metric) {
	statuses := make(map[string]int)
	steps := make(map[playbooks.StepState]int)
	approvals := 0
	for _, run := range c.count() {
		statuses[string(run.status)]++
		approvals += run.approvals
		for state, n := range run.steps {
			steps[state] += n
		}
	}
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	for status, n := range statuses {
		gauge(openRunsDesc, n, status)
	}
	for state, n := range steps {
		gauge(stepsDesc, n, string(state))
	}
	gauge(approvalsDesc, approvals)
}

// count brings what is known up to date and returns it, one for each open run.
func (c *Census) count() []counted {
	open := c.runs.OpenRuns()
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	for _, run := range c.due(open) {
		var now counted
		err := c.runs.View(ctx, run, func(v engine.View) error {
			now = counted{status: v.Run.Status(), approvals: len(v.Run.OpenApprovals()), steps: make(map[playbooks.StepState]int)}
			for i := range v.Run.Steps {
				state := v.Run.Steps[i].State
				if state == "" {
					state = playbooks.Pending
				}
				now.steps[state]++
			}
			return nil
		})
		c.mu.Lock()
		if err != nil {
			c.stale[run] = true
		} else {
			c.seen[run] = now
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	current := make(map[string]counted, len(open))
	all := make([]counted, 0, len(open))
	for _, run := range open {
		known, ok := c.seen[run]
		if !ok {
			known = counted{status: unread}
		} else {
			current[run] = known
		}
		all = append(all, known)
	}
	c.seen = current
	return all
}

// due takes the runs that are to be looked at.
func (c *Census) due(open []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	isOpen := make(map[string]bool, len(open))
	var due []string
	for _, run := range open {
		isOpen[run] = true
		if _, known := c.seen[run]; (!known || c.stale[run]) && len(due) < readAtOnce {
			due = append(due, run)
			delete(c.stale, run)
		}
	}
	for run := range c.stale {
		if !isOpen[run] {
			delete(c.stale, run)
		}
	}
	return due
}

package local

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

var (
	rollouts = []playbooks.StepKind{playbooks.StepDeploy, playbooks.StepCanary, playbooks.StepPromote, playbooks.StepRollback, playbooks.StepRemove}
	jobs     = []playbooks.StepKind{playbooks.StepMigrate, playbooks.StepTest, playbooks.StepPublish}
)

// work is a rollout or a job: the entry that began it, and what ended it early.
// Where it stands follows from the clock.
type work struct {
	Entry
	ended time.Time // when it was stopped or superseded; zero: it was not
	cause string
}

// standing is where a piece of work stands at one time.
type standing struct {
	phase steps.Phase
	done  int           // of Replicas
	next  time.Duration // until something changes, while running
}

func (w *work) at(now time.Time) standing {
	if !w.ended.IsZero() && now.After(w.ended) {
		now = w.ended
	}
	elapsed := max(now.Sub(w.Time), 0)
	s := standing{phase: steps.Running, done: w.Replicas, next: w.Takes - elapsed}
	if elapsed < w.Takes {
		s.done = int(int64(w.Replicas) * int64(elapsed) / int64(w.Takes))
		s.next = (w.Takes*time.Duration(s.done+1)+time.Duration(w.Replicas)-1)/time.Duration(w.Replicas) - elapsed
	}
	broken := w.Fault == Stuck || w.Fault == Fail
	if broken && s.done == w.Replicas {
		s.done = w.Replicas - 1
		s.next = max(w.Takes-elapsed, w.Takes/time.Duration(w.Replicas), time.Millisecond)
	}
	switch {
	case elapsed >= w.Takes && !broken:
		s.phase = steps.Succeeded
	case elapsed >= w.Takes && w.Fault == Fail, !w.ended.IsZero():
		s.phase = steps.Failed
	}
	return s
}

// end ends work early, unless it is over by then.
func (w *work) end(at time.Time, cause string) {
	if w.at(at).phase == steps.Running {
		w.ended, w.cause = at, cause
	}
}

// begin makes the entry for an order that is about to begin.
func (w *wire) begin(o steps.Order, kinds []playbooks.StepKind) (Entry, error) {
	switch {
	case !slices.Contains(kinds, o.Action):
		return Entry{}, refuse("steps of kind %q are not for this system, only %s", o.Action, list(kinds))
	case o.Key == "" || o.Place.Module == "":
		return Entry{}, refuse("the order has no key or no module")
	case o.Version == "" && o.Action != playbooks.StepRemove:
		return Entry{}, refuse("the order has no version")
	}
	replicas := 3
	if p := o.Params["replicas"]; p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 1000 {
			return Entry{}, refuse("parameter replicas: %q is not a number from 1 to 1000", p)
		}
		replicas = n
	}
	if o.Action == playbooks.StepCanary {
		replicas = max(1, (replicas*o.Share+99)/100)
	}
	takes, err := w.takes(o)
	if err != nil {
		return Entry{}, err
	}
	return Entry{
		Kind: EntryStarted, Key: o.Key, Run: o.Run, Step: o.Step, Attempt: o.Attempt,
		Action: o.Action, Place: o.Place, From: o.From, Version: o.Version,
		Share: o.Share, Replicas: replicas, Takes: w.scaled(takes), Fault: w.lasting(o),
	}, nil
}

// takes says how long an order takes at normal pace.
func (w *wire) takes(o steps.Order) (time.Duration, error) {
	if w.opts.Takes != nil {
		return max(w.opts.Takes(o), 0), nil
	}
	if p := o.Params["duration"]; p != "" {
		d, err := time.ParseDuration(p)
		if err != nil || d < 0 {
			return 0, refuse("parameter duration: %q is not a duration such as 2s", p)
		}
		return d, nil
	}
	h := fnv.New32a()
	h.Write([]byte(o.Place.Module))
	d := time.Second + time.Duration(h.Sum32()%2000)*time.Millisecond
	if o.Action != playbooks.StepDeploy && o.Action != playbooks.StepPromote {
		d /= 2
	}
	return d, nil
}

// logs invents the last lines that a program wrote before it gave up, the same
// ones for the same piece of work.
func (w *work) logs(now time.Time) playbooks.Evidence {
	h := fnv.New64a()
	fmt.Fprint(h, w.Place, w.Version, w.Seq)
	pod := fmt.Sprintf("%s-%x", w.Place.Module, h.Sum64()>>44)
	at := now
	if end := w.Time.Add(w.Takes); end.Before(at) {
		at = end
	}
	lines := []string{
		"level=info msg=\"starting\" version=" + w.Version,
		"level=warn msg=\"no connection\" peer=10.0.12.7:6379 try=1",
		"level=warn msg=\"no connection\" peer=10.0.12.7:6379 try=2",
		"level=error msg=\"giving up\" cause=\"dial tcp 10.0.12.7:6379: i/o timeout\"",
		"exit status 1",
	}
	for i := range lines {
		back := time.Duration(len(lines)-1-i) * w.Takes / 20
		lines[i] = at.Add(-back).UTC().Format("15:04:05.000") + " " + lines[i]
	}
	return playbooks.Evidence{Name: "logs of " + pod, Text: strings.Join(lines, "\n")}
}

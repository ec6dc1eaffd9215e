package engine_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// check holds the logs against the journals of the embedded world. It knows
// nothing of the engine's state, and decides nothing by the domain's code but the
// opening of playbooks.
func (s *simulation) check(t *testing.T) {
	t.Helper()
	logs := store.NewLogs(s.store)
	a := &audit{t: t, logs: logs, books: make(map[playbooks.Digest]*playbooks.Playbook), started: make(map[string]playbooks.Event), causes: make(map[string]bool)}
	for head, err := range logs.List(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := logs.Verify(context.Background(), head.Log); err != nil {
			t.Errorf("log %s: %v", head.Log, err)
		}
		if run, ok := strings.CutPrefix(head.Log, "run/"); ok {
			a.run(run)
		} else {
			a.locks(head.Log)
		}
	}
	begun := make(map[string]bool)
	for _, e := range s.effects() {
		switch e.Kind {
		case local.EntryDuplicate:
			t.Errorf("seed %d: %s was ordered twice", s.seed, e.Key)
		case local.EntryStarted:
			if begun[e.Key] {
				t.Errorf("seed %d: %s was done twice", s.seed, e.Key)
			}
			begun[e.Key] = true
			intent, ok := a.started[e.Key[strings.Index(e.Key, "/")+1:]]
			if !ok {
				t.Errorf("seed %d: %s was done, and its intent is in no log", s.seed, e.Key)
			} else if e.Time.Before(intent.Time) {
				t.Errorf("seed %d: %s was done before its intent", s.seed, e.Key)
			}
		}
	}
	s.onceOnly(t, a)
	for cause, c := range s.said {
		if !a.causes[cause] {
			t.Errorf("seed %d: the approval of %s for run %s was acknowledged and is lost", s.seed, c.By, c.Run)
		}
	}
}

// onceOnly checks that what has worked is not done again: no attempt follows one
// that the system itself carried out to its end.
func (s *simulation) onceOnly(t *testing.T, a *audit) {
	t.Helper()
	stopped := make(map[string]bool)
	for _, e := range s.effects() {
		if e.Kind == local.EntryStopped {
			stopped[e.Key] = true
		}
	}
	worked := make(map[string]local.Entry) // by run and step
	for _, e := range s.effects() {
		if e.Kind != local.EntryStarted {
			continue
		}
		step := e.Run + "/" + e.Step
		if before, ok := worked[step]; ok {
			t.Errorf("seed %d: attempt %d at %s worked, and attempt %d was begun", s.seed, before.Attempt, step, e.Attempt)
		}
		if e.Fault == "" && !stopped[e.Key] {
			worked[step] = e
		}
	}
}

// audit reads logs as a stranger would.
type audit struct {
	t       *testing.T
	logs    *store.Logs
	books   map[playbooks.Digest]*playbooks.Playbook
	started map[string]playbooks.Event
	causes  map[string]bool
}

func (a *audit) events(log string, fn func(playbooks.Event)) {
	for rec, err := range a.logs.Read(context.Background(), log, 1) {
		if err != nil {
			a.t.Fatal(err)
		}
		var e playbooks.Event
		if err := json.Unmarshal(rec.Data, &e); err != nil {
			a.t.Fatal(err)
		}
		fn(e)
	}
}

func (a *audit) book(d playbooks.Digest) *playbooks.Playbook {
	if a.books[d] == nil {
		var kept struct{ Playbook store.Hash }
		data, err := a.logs.Get(context.Background(), "plan/"+d.String())
		if err == nil {
			err = json.Unmarshal(data, &kept)
		}
		if err == nil {
			data, err = a.logs.GetBlob(context.Background(), kept.Playbook)
		}
		pb := new(playbooks.Playbook)
		if err == nil {
			err = json.Unmarshal(data, pb)
		}
		if err != nil {
			a.t.Fatalf("playbook %s: %v", d.Short(), err)
		}
		a.books[d] = pb
	}
	return a.books[d]
}

// yes is an answer, as the log has it.
type yes struct {
	by, step string
	book     *playbooks.Playbook
	until    time.Time
}

// run checks one run: order, attempts, approvals.
func (a *audit) run(id string) {
	var book *playbooks.Playbook
	var byID map[string]*playbooks.Step
	var requester string
	state := make(map[string]string)
	attempt := make(map[string]int)
	open := make(map[string]bool) // steps whose last attempt ended, so that another may begin
	var answers []yes
	drop := func(keep func(yes) bool) {
		answers = slices.DeleteFunc(answers, func(y yes) bool { return !keep(y) })
	}
	a.events("run/"+id, func(e playbooks.Event) {
		a.causes[e.Cause] = true
		switch e.Type {
		case playbooks.EventCreated, playbooks.EventAdopted:
			if e.Type == playbooks.EventCreated {
				requester = e.By
			}
			open["preflight"] = true // it has brought the new playbook, and looks again
			old := byID
			book = a.book(e.Digest)
			byID = make(map[string]*playbooks.Step)
			for i := range book.Steps {
				s := &book.Steps[i]
				byID[s.ID] = s
				if was := old[s.ID]; was != nil && was.Digest != s.Digest {
					delete(state, s.ID)
				}
			}
		case playbooks.EventStarted:
			step := byID[e.Step]
			for _, need := range step.Needs {
				// The approval is looked at below, for this very step.
				if state[need.Step] != "finished" && need.Step != step.ApprovedBy {
					a.t.Errorf("run %s: %s began before %s was finished", id, e.Step, need.Step)
				}
			}
			if attempt[e.Step] > 0 && !open[e.Step] || e.Attempt != attempt[e.Step]+1 {
				a.t.Errorf("run %s: attempt %d at %s follows attempt %d, which has not ended", id, e.Attempt, e.Step, attempt[e.Step])
			}
			attempt[e.Step], open[e.Step] = e.Attempt, false
			a.started[e.Key] = e
			state[e.Step] = "running"
			if step.Kind.HasEffect() {
				a.approved(id, requester, book, step, answers, e.Time)
			}
		case playbooks.EventSucceeded, playbooks.EventSkipped:
			state[e.Step] = "finished"
			open[e.Step] = true
		case playbooks.EventConfirmed:
			open[e.Step] = true
			if e.Outcome == playbooks.Succeeded {
				state[e.Step] = "finished"
			}
		case playbooks.EventFailed:
			open[e.Step] = true
		case playbooks.EventAsked:
			state[e.Step] = "asked"
		case playbooks.EventApproved:
			answers = append(answers, yes{e.By, e.Step, a.book(e.Digest), e.Until})
		case playbooks.EventUnapproved:
			drop(func(y yes) bool { return y.step != e.Step || y.by != e.By })
		case playbooks.EventExpired:
			drop(func(y yes) bool { return y.step != e.Step || y.by != e.Person || y.until.After(e.Time) })
		case playbooks.EventRejected:
			drop(func(y yes) bool { return y.step != e.Step })
		}
	})
}

// approved checks that those who had to agree had agreed to exactly this step.
func (a *audit) approved(run, requester string, book *playbooks.Playbook, step *playbooks.Step, answers []yes, at time.Time) {
	if step.ApprovedBy == "" {
		if len(book.Approvals) > 0 {
			a.t.Errorf("run %s: %s has an effect and needs nobody's approval", run, step.ID)
		}
		return
	}
	agreed := make(map[string]bool)
	for _, y := range answers {
		if y.step != step.ApprovedBy || !at.Before(y.until) {
			continue
		}
		for i := range y.book.Steps {
			if y.book.Steps[i].ID == step.ID && y.book.Steps[i].Merkle == step.Merkle {
				agreed[y.by] = true
			}
		}
	}
	ok := agreed["lea"] && agreed["quinn"]
	if step.ApprovedBy == "approve-rollback" {
		ok = agreed["dev"] || agreed["lea"]
	} else if agreed[requester] {
		a.t.Errorf("run %s: %s counted the requester's own approval", run, step.ID)
	}
	if !ok {
		a.t.Errorf("run %s: %s began with the approval of %v alone", run, step.ID, agreed)
	}
}

// locks checks that no place ever has two runs.
func (a *audit) locks(log string) {
	holder := make(map[playbooks.Place]string)
	a.events(log, func(e playbooks.Event) {
		switch e.Type {
		case playbooks.EventLocked:
			for _, p := range e.Locks {
				if holder[p] != "" && holder[p] != e.Run {
					a.t.Errorf("%v was locked by run %s and by run %s at once", p, holder[p], e.Run)
				}
				holder[p] = e.Run
			}
		case playbooks.EventUnlocked:
			for p, run := range holder {
				if run == e.Run {
					delete(holder, p)
				}
			}
		}
	})
}

package playbooks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/muster-release/muster/playbooks"
)

// smallShop is a catalog whose production asks two groups.
func smallShop() *playbooks.Catalog {
	return &playbooks.Catalog{
		Environments: []playbooks.Environment{{Name: "production", Approvals: &playbooks.ApprovalPolicy{
			Rules: []playbooks.ApprovalRule{{Group: "leads", Count: 1}, {Group: "qa", Count: 1}}, Distinct: true, ExcludeRequester: true,
		}}},
		Modules: []playbooks.Module{
			{Name: "db", Version: "v1.0.0"},
			{Name: "api", Version: "v2.0.0", Needs: []playbooks.Need{{Module: "db"}}},
			{Name: "docs", Version: "v1.0.0"},
		},
		People: []playbooks.Person{{ID: "dev"}, {ID: "lea"}, {ID: "quinn"}, {ID: "both"}},
		Groups: []playbooks.Group{{Name: "leads", Members: []string{"lea", "both"}}, {Name: "qa", Members: []string{"quinn", "both"}}},
		Access: []playbooks.Access{{Who: []string{"dev"}, Role: playbooks.Operator}},
	}
}

// history is a run that is folded by hand.
type history struct {
	t     *testing.T
	run   *playbooks.Run
	env   *playbooks.EnvironmentState
	p     *playbooks.Policy
	books map[playbooks.Digest]*playbooks.Book
	now   time.Time
}

func newHistory(t *testing.T, c *playbooks.Catalog, pb *playbooks.Playbook) *history {
	t.Helper()
	h := &history{
		t: t, env: playbooks.NewEnvironmentState("production"), p: playbooks.NewPolicy(c),
		books: make(map[playbooks.Digest]*playbooks.Book), now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
	}
	h.run = playbooks.NewRun("1", func(d playbooks.Digest) (*playbooks.Book, error) {
		if b := h.books[d]; b != nil {
			return b, nil
		}
		return nil, errors.New("no such playbook")
	})
	h.apply(playbooks.Event{Type: playbooks.EventCreated, By: "dev", Environment: "production", Digest: h.keep(pb)})
	h.settle()
	return h
}

func (h *history) keep(pb *playbooks.Playbook) playbooks.Digest {
	h.books[pb.Digest] = playbooks.NewBook(pb)
	return pb.Digest
}

func (h *history) apply(events ...playbooks.Event) {
	h.t.Helper()
	for _, e := range events {
		e.Time = h.now
		if err := h.run.Apply(e); err != nil {
			h.t.Fatal(err)
		}
	}
}

// settle lets happen what happens by itself, and returns the steps that began.
func (h *history) settle() (began []string) {
	h.t.Helper()
	for {
		d := playbooks.Advance(h.run, h.env, h.p, h.now, 100)
		if len(d.Run) == 0 && len(d.Env) == 0 {
			return began
		}
		for _, e := range d.Env {
			if err := h.env.Apply(e); err != nil {
				h.t.Fatal(err)
			}
		}
		for _, e := range d.Run {
			if e.Type == playbooks.EventStarted {
				began = append(began, e.Step)
			}
			h.apply(e)
		}
	}
}

func (h *history) do(kind playbooks.CommandKind, by string) {
	h.t.Helper()
	d, err := playbooks.Decide(h.run, h.p, playbooks.Command{Kind: kind, By: by}, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	h.apply(d.Run...)
}

func (h *history) succeed(steps ...string) (began []string) {
	h.t.Helper()
	for _, s := range steps {
		h.apply(playbooks.Event{Type: playbooks.EventSucceeded, Step: s})
	}
	return h.settle()
}

// TestAmendedPlans is about what a run keeps when it goes on with another
// playbook.
func TestAmendedPlans(t *testing.T) {
	catalog := smallShop()
	request := func(db, api, docs string) playbooks.Request {
		return playbooks.Request{Environment: "production", Modules: []playbooks.ModuleRef{
			{Name: "db", Version: db}, {Name: "api", Version: api}, {Name: "docs", Version: docs},
		}}
	}
	first := mustCompile(t, catalog, request("v1.0.0", "v2.0.0", "v1.0.0"), playbooks.Facts{})
	approved := func() *history {
		h := newHistory(t, catalog, first)
		h.do(playbooks.CommandApprove, "lea")
		h.do(playbooks.CommandApprove, "quinn")
		h.settle()
		return h
	}
	amend := func(h *history, pb *playbooks.Playbook) []string {
		h.apply(playbooks.Event{Type: playbooks.EventAdopted, Digest: h.keep(pb)})
		return h.settle()
	}
	open := func(h *history) bool { return len(h.run.OpenApprovals()) > 0 }

	t.Run("nothing changed, nothing is asked", func(t *testing.T) {
		h := approved()
		same := mustCompile(t, catalog, request("v1.0.0", "v2.0.0", "v1.0.0"), playbooks.Facts{})
		if amend(h, same); open(h) {
			t.Error("people were asked again")
		}
	})
	t.Run("a module that nothing rests on is asked alone", func(t *testing.T) {
		h := approved()
		began := amend(h, mustCompile(t, catalog, request("v1.0.0", "v2.0.0", "v1.1.0"), playbooks.Facts{}))
		if !open(h) {
			t.Error("nobody was asked about docs")
		}
		began = append(began, h.succeed("preflight")...)
		if len(began) == 0 || began[len(began)-1] != "deploy:db" {
			t.Errorf("began %q: db is as it was approved, docs is not", began)
		}
		for _, step := range began {
			if step == "deploy:docs" {
				t.Error("docs began on an old yes")
			}
		}
	})
	t.Run("what rests on the changed module is asked too", func(t *testing.T) {
		h := approved()
		amend(h, mustCompile(t, catalog, request("v1.1.0", "v2.0.0", "v1.0.0"), playbooks.Facts{}))
		began := h.succeed("preflight")
		if len(began) != 1 || began[0] != "deploy:docs" {
			t.Errorf("began %q, want docs alone", began)
		}
	})
	t.Run("done stays done", func(t *testing.T) {
		h := approved()
		h.succeed("preflight")
		h.succeed("deploy:db", "deploy:docs")
		h.succeed("verify:db", "verify:docs")
		amend(h, mustCompile(t, catalog, request("v1.0.0", "v2.1.0", "v1.0.0"), playbooks.Facts{}))
		for _, step := range []string{"deploy:db", "verify:db", "deploy:docs"} {
			if got := h.run.Progress(step).State; got != playbooks.Done {
				t.Errorf("%s is %s", step, got)
			}
		}
		if !open(h) {
			t.Error("nobody was asked about the new api")
		}
	})
	t.Run("a verification runs again when what it rests on changed", func(t *testing.T) {
		h := approved()
		h.succeed("preflight")
		h.succeed("deploy:db")
		h.succeed("verify:db")
		h.succeed("deploy:api")
		h.succeed("verify:api")
		amend(h, mustCompile(t, catalog, request("v1.1.0", "v2.0.0", "v1.0.0"), playbooks.Facts{}))
		if got := h.run.Progress("deploy:api").State; got != playbooks.Done {
			t.Errorf("deploy:api is %s, its content is unchanged", got)
		}
		if got := h.run.Progress("verify:api").State; got == playbooks.Done {
			t.Error("verify:api is not repeated though db changed under it")
		}
	})
}

func TestOnePersonInTwoGroupsNeverBlocksAnother(t *testing.T) {
	catalog := smallShop()
	pb := mustCompile(t, catalog, everything, playbooks.Facts{})
	for _, order := range [][]string{{"both", "lea"}, {"lea", "both"}, {"both", "quinn"}, {"quinn", "both"}} {
		h := newHistory(t, catalog, pb)
		for _, who := range order {
			h.do(playbooks.CommandApprove, who)
		}
		if h.settle(); len(h.run.OpenApprovals()) > 0 {
			t.Errorf("%q are enough, and somebody is still asked", order)
		}
	}
	h := newHistory(t, catalog, pb)
	h.do(playbooks.CommandApprove, "both")
	if h.settle(); len(h.run.OpenApprovals()) == 0 {
		t.Error("one person in two groups counted twice")
	}
}

// TestDecideChangesNothing: a decision is a pure function.
func TestDecideChangesNothing(t *testing.T) {
	catalog := smallShop()
	h := newHistory(t, catalog, mustCompile(t, catalog, everything, playbooks.Facts{}))
	length := h.run.Len
	var answers []string
	for range 2 {
		for _, kind := range []playbooks.CommandKind{playbooks.CommandApprove, playbooks.CommandAbort, playbooks.CommandPause, playbooks.CommandSkip} {
			d, err := playbooks.Decide(h.run, h.p, playbooks.Command{Kind: kind, By: "lea"}, h.now)
			text, jsonErr := json.Marshal(d)
			if jsonErr != nil {
				t.Fatal(jsonErr)
			}
			if err != nil {
				text = []byte(err.Error())
			}
			answers = append(answers, string(text))
		}
	}
	for i := range answers[:4] {
		if answers[i] != answers[i+4] {
			t.Errorf("asked twice: %s and %s", answers[i], answers[i+4])
		}
	}
	if h.run.Len != length {
		t.Error("deciding changed the run")
	}
}

// FuzzEvents folds whatever a log may hold: it is refused or applied, and never
// breaks the program.
func FuzzEvents(f *testing.F) {
	catalog := smallShop()
	pb, err := playbooks.Compile(catalog, everything, playbooks.Facts{})
	if err != nil {
		f.Fatal(err)
	}
	digest, _ := pb.Digest.MarshalText()
	f.Add([]byte(`{"type":"asked","step":"approve"}` + "\n" + `{"type":"approved","step":"approve","by":"lea","digest":"` + string(digest) + `"}`))
	f.Add([]byte(`{"type":"started","step":"preflight","attempt":1}` + "\n" + `{"type":"failed","step":"preflight","attempt":1}` + "\n" + `{"type":"retried","step":"preflight"}`))
	f.Add([]byte(`{"type":"adopted","digest":"` + string(digest) + `","rollback":true}` + "\n" + `{"type":"adopted","digest":"` + string(digest) + `"}`))
	f.Add([]byte(`{"type":"completed","outcome":"aborted"}` + "\n" + `{"type":"frozen"}` + "\n" + `{"type":"enqueued","run":"1"}`))
	book := playbooks.NewBook(pb)
	policy := playbooks.NewPolicy(catalog)
	f.Fuzz(func(t *testing.T, data []byte) {
		run := playbooks.NewRun("1", func(d playbooks.Digest) (*playbooks.Book, error) {
			if d == pb.Digest {
				return book, nil
			}
			return nil, errors.New("no such playbook")
		})
		env := playbooks.NewEnvironmentState("production")
		if err := run.Apply(playbooks.Event{Type: playbooks.EventCreated, Digest: pb.Digest, Environment: "production"}); err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var e playbooks.Event
			if json.Unmarshal(line, &e) != nil {
				continue
			}
			_ = env.Apply(e)
			if run.Apply(e) != nil {
				return // such a log is refused
			}
			playbooks.Advance(run, env, policy, e.Time, 10)
			playbooks.Explain(run, env, policy, "", e.Time)
			run.Status()
			if run.Touched() {
				_, _ = playbooks.CompileRollback(run)
			}
		}
	})
}

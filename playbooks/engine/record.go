package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// The engine's keys in the store. Run numbers are padded so that they sort.
//
//	log run/<number>       a run's events
//	log env/<name>         an environment's events
//	plan/<digest>          where a playbook and its catalog are kept
//	run/<padded number>    Summary, written when a run begins and when it ends
//	open/<padded number>   openRun, there while the run is not over
//	cause/<cause>          number of the run that a delivery started
//	instance               random name of this installation
const (
	planPrefix  = "plan/"
	runPrefix   = "run/"
	openPrefix  = "open/"
	causePrefix = "cause/"
	instanceKey = "instance"
)

func runLog(run string) string { return "run/" + run }

func padded(run string) string { return fmt.Sprintf("%010s", run) }

func unpadded(key, prefix string) string {
	return strings.TrimLeft(strings.TrimPrefix(key, prefix), "0")
}

// Summary is what is known of a run without reading its log.
type Summary struct {
	Run         string            `json:"run"`
	Environment string            `json:"environment"`
	By          string            `json:"by"`
	Modules     []string          `json:"modules"` // name and version, the first few
	Total       int               `json:"total"`   // how many modules
	Digest      playbooks.Digest  `json:"digest"`
	Rollback    bool              `json:"rollback,omitempty"`
	Created     time.Time         `json:"created"`
	Ended       time.Time         `json:"ended,omitzero"`
	Outcome     playbooks.Outcome `json:"outcome,omitempty"` // empty: not over
}

// rest says how an open run waits, so that a restart need not read its log.
type rest struct {
	Quiet bool      `json:"quiet,omitempty"` // nothing runs
	Wake  time.Time `json:"wake,omitzero"`   // when something is due by itself
}

type openRun struct {
	Run         string `json:"run"`
	Environment string `json:"environment"`
	Rest        rest   `json:"rest"`
}

// plan is where a playbook is kept.
type plan struct {
	Playbook store.Hash `json:"playbook"`
	Catalog  store.Hash `json:"catalog"`
	At       time.Time  `json:"at"`
}

// record reads and writes what the engine keeps.
type record struct {
	logs *store.Logs

	mu       sync.Mutex
	books    kept[playbooks.Digest, *playbooks.Book]
	catalogs kept[store.Hash, *playbooks.Catalog]
}

// kept holds the few values that were asked for last, ready in memory.
type kept[K comparable, V any] struct {
	most   int
	values map[K]V
	order  []K
}

func (k *kept[K, V]) add(key K, value V) {
	if _, ok := k.values[key]; ok {
		return
	}
	if k.values == nil {
		k.values = make(map[K]V)
	}
	k.values[key] = value
	if k.order = append(k.order, key); len(k.order) > k.most {
		delete(k.values, k.order[0])
		k.order = k.order[1:]
	}
}

func newRecord(logs *store.Logs) *record {
	r := &record{logs: logs}
	r.books.most, r.catalogs.most = 64, 4
	return r
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("engine: encode %T: %v", v, err)) // plain types of our own
	}
	return data
}

func (r *record) get(ctx context.Context, key string, v any) (found bool, err error) {
	data, err := r.logs.Get(ctx, key)
	if err != nil || data == nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("engine: key %q: %w", key, err)
	}
	return true, nil
}

// Instance is the random name of the installation whose logs these are: it makes keys and labels
// unique in systems that several installations share.
func Instance(ctx context.Context, logs *store.Logs) (string, error) {
	data, err := logs.Get(ctx, instanceKey)
	if err != nil || data != nil {
		return string(data), err
	}
	var b [6]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	name := hex.EncodeToString(b[:])
	return name, logs.Set(ctx, store.Set{Key: instanceKey, Value: []byte(name)})
}

func (r *record) lastRun(ctx context.Context) (int, error) {
	last := 0
	for pair, err := range r.logs.Keys(ctx, runPrefix) {
		if err != nil {
			return 0, err
		}
		last = number(unpadded(string(pair.Key), runPrefix))
	}
	return last, nil
}

func (r *record) openRuns(ctx context.Context) ([]openRun, error) {
	var open []openRun
	for pair, err := range r.logs.Keys(ctx, openPrefix) {
		if err != nil {
			return nil, err
		}
		var o openRun
		if err := json.Unmarshal(pair.Value, &o); err != nil {
			return nil, fmt.Errorf("engine: key %q: %w", pair.Key, err)
		}
		open = append(open, o)
	}
	return open, nil
}

func (r *record) exists(ctx context.Context, run string) (bool, error) {
	if number(run) <= 0 {
		return false, nil
	}
	head, err := r.logs.Head(ctx, runLog(run))
	return head.Len > 0, err
}

func (r *record) runOf(ctx context.Context, cause string) (string, error) {
	data, err := r.logs.Get(ctx, causePrefix+cause)
	return string(data), err
}

func (r *record) history(ctx context.Context, limit int) ([]Summary, error) {
	var all []Summary
	for pair, err := range r.logs.Keys(ctx, runPrefix) {
		if err != nil {
			return nil, err
		}
		var s Summary
		if err := json.Unmarshal(pair.Value, &s); err != nil {
			return nil, fmt.Errorf("engine: key %q: %w", pair.Key, err)
		}
		all = append(all, s)
	}
	newest := make([]Summary, 0, min(limit, len(all)))
	for i := len(all) - 1; i >= 0 && len(newest) < limit; i-- {
		newest = append(newest, all[i])
	}
	return newest, nil
}

// savePlan keeps a playbook with the catalog it was compiled from. Keeping the
// same one again is no error.
func (r *record) savePlan(ctx context.Context, pb *playbooks.Playbook, catalog *playbooks.Catalog) error {
	sha, err := r.logs.PutBlob(ctx, encode(catalog))
	if err != nil {
		return err
	}
	return r.savePlanWith(ctx, pb, sha)
}

func (r *record) savePlanWith(ctx context.Context, pb *playbooks.Playbook, catalog store.Hash) error {
	sha, err := r.logs.PutBlob(ctx, encode(pb))
	if err != nil {
		return err
	}
	return r.logs.Set(ctx, store.Set{Key: planPrefix + pb.Digest.String(), Value: encode(plan{sha, catalog, time.Now()})})
}

func (r *record) plan(ctx context.Context, digest playbooks.Digest) (plan, error) {
	var p plan
	found, err := r.get(ctx, planPrefix+digest.String(), &p)
	if err == nil && !found {
		err = fmt.Errorf("plan %s: %w", digest.Short(), ErrNoPlan)
	}
	return p, err
}

func (r *record) catalogOf(ctx context.Context, digest playbooks.Digest) (store.Hash, error) {
	p, err := r.plan(ctx, digest)
	return p.Catalog, err
}

func (r *record) catalog(ctx context.Context, digest playbooks.Digest) (*playbooks.Catalog, error) {
	p, err := r.plan(ctx, digest)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	c := r.catalogs.values[p.Catalog]
	r.mu.Unlock()
	if c != nil {
		return c, nil
	}
	data, err := r.logs.GetBlob(ctx, p.Catalog)
	if err != nil {
		return nil, err
	}
	c = new(playbooks.Catalog)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("catalog of plan %s: %w", digest.Short(), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.catalogs.add(p.Catalog, c)
	return c, nil
}

func (r *record) findPlan(ctx context.Context, prefix string) (*playbooks.Playbook, error) {
	if len(prefix) < 6 {
		return nil, fmt.Errorf("plan %q: at least 6 digits are needed: %w", prefix, ErrNoPlan)
	}
	var found []string
	for pair, err := range r.logs.Keys(ctx, planPrefix+strings.ToLower(prefix)) {
		if err != nil {
			return nil, err
		}
		found = append(found, strings.TrimPrefix(string(pair.Key), planPrefix))
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("plan %q: %d plans begin like that: %w", prefix, len(found), ErrNoPlan)
	}
	var digest playbooks.Digest
	if err := digest.UnmarshalText([]byte(found[0])); err != nil {
		return nil, err
	}
	book, err := r.book(ctx, digest)
	if err != nil {
		return nil, err
	}
	return book.Playbook, nil
}

// book returns a kept playbook, checked.
func (r *record) book(ctx context.Context, digest playbooks.Digest) (*playbooks.Book, error) {
	r.mu.Lock()
	book := r.books.values[digest]
	r.mu.Unlock()
	if book != nil {
		return book, nil
	}
	p, err := r.plan(ctx, digest)
	if err != nil {
		return nil, err
	}
	data, err := r.logs.GetBlob(ctx, p.Playbook)
	if err != nil {
		return nil, err
	}
	pb := new(playbooks.Playbook)
	if err := json.Unmarshal(data, pb); err != nil {
		return nil, fmt.Errorf("plan %s: %w", digest.Short(), err)
	}
	if err := pb.Check(); err != nil {
		return nil, fmt.Errorf("plan %s: %w", digest.Short(), err)
	}
	if pb.Digest != digest {
		return nil, fmt.Errorf("plan %s: holds %s: %w", digest.Short(), pb.Digest.Short(), store.ErrCorrupt)
	}
	book = playbooks.NewBook(pb)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.books.add(digest, book)
	return book, nil
}

// create writes the first event of a run.
func (r *record) create(run string, book *playbooks.Book, cause string, events []playbooks.Event) <-chan error {
	first := events[0]
	sets := []store.Set{
		{Key: runPrefix + padded(run), Value: encode(summary(run, book, first.By, first.Time))},
		{Key: openPrefix + padded(run), Value: encode(openRun{Run: run, Environment: book.Environment})},
	}
	if cause != "" {
		sets = append(sets, store.Set{Key: causePrefix + cause, Value: []byte(run)})
	}
	return r.logs.Submit([]store.Append{{Log: runLog(run), Records: records(events)}}, sets)
}

func summary(run string, book *playbooks.Book, by string, created time.Time) Summary {
	s := Summary{
		Run: run, Environment: book.Environment, By: by, Total: len(book.Modules), Digest: book.Digest,
		Rollback: book.RollbackOf != nil, Created: created,
	}
	for _, m := range book.Modules[:min(len(book.Modules), 5)] {
		s.Modules = append(s.Modules, m.Name+"@"+m.Version)
	}
	return s
}

func records(events []playbooks.Event) [][]byte {
	out := make([][]byte, len(events))
	for i := range events {
		out[i] = encode(&events[i])
	}
	return out
}

// change is what one append writes.
type change struct {
	run    *playbooks.Run // nil: the environment alone
	expect uint64         // length of the run's log before
	events []playbooks.Event
	env    *environmentAppend // nil: the run alone
	rest   *rest              // how the run waits from now on, nil: as before
}

// submit appends to the logs of a run and of an environment as one, and keeps
// the index of runs in step with them.
func (r *record) submit(c change) <-chan error {
	var appends []store.Append
	var sets []store.Set
	if len(c.events) > 0 {
		appends = append(appends, store.Append{Log: runLog(c.run.ID), Expect: c.expect, Records: records(c.events)})
	}
	if c.env != nil && len(c.env.events) > 0 {
		appends = append(appends, store.Append{Log: environmentLog(c.env.name), Expect: c.env.expect, Records: records(c.env.events)})
	}
	if c.rest != nil {
		sets = append(sets, store.Set{Key: openPrefix + padded(c.run.ID), Value: encode(openRun{c.run.ID, c.run.Environment, *c.rest})})
	}
	for _, e := range c.events {
		if e.Type == playbooks.EventCompleted {
			s := summary(c.run.ID, c.run.Forward().Book, c.run.By, c.run.Created)
			s.Outcome, s.Ended = e.Outcome, e.Time
			sets = append(sets,
				store.Set{Key: runPrefix + padded(c.run.ID), Value: encode(s)},
				store.Set{Key: openPrefix + padded(c.run.ID)})
		}
	}
	return r.logs.Submit(appends, sets)
}

func (r *record) events(ctx context.Context, log string, from uint64, fn func(uint64, playbooks.Event) error) error {
	for rec, err := range r.logs.Read(ctx, log, from) {
		if err != nil {
			return err
		}
		var e playbooks.Event
		if err := json.Unmarshal(rec.Data, &e); err != nil {
			return fmt.Errorf("engine: log %q, record %d: %w", log, rec.Seq, errors.Join(err, store.ErrCorrupt))
		}
		if err := fn(rec.Seq, e); err != nil {
			return err
		}
	}
	return nil
}

// load folds a run's log.
func (r *record) load(ctx context.Context, id string) (*playbooks.Run, error) {
	run := playbooks.NewRun(id, func(d playbooks.Digest) (*playbooks.Book, error) { return r.book(ctx, d) })
	err := r.events(ctx, runLog(id), 1, func(_ uint64, e playbooks.Event) error { return run.Apply(e) })
	if err == nil && run.Len == 0 {
		err = fmt.Errorf("run %q: %w", id, ErrNoRun)
	}
	return run, err
}

// loadEnvironment folds an environment's log.
func (r *record) loadEnvironment(ctx context.Context, name string) (*playbooks.EnvironmentState, error) {
	state := playbooks.NewEnvironmentState(name)
	err := r.events(ctx, environmentLog(name), 1, func(_ uint64, e playbooks.Event) error { return state.Apply(e) })
	return state, err
}

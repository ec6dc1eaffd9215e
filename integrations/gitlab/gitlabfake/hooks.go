package gitlabfake

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Hook is a webhook of a project or group, or a system hook.
type Hook struct {
	URL    string
	Secret string // sent as X-Gitlab-Token; empty: none
	// Signing is a signing token, "whsec_" and base64; deliveries are signed with it after
	// the Standard Webhooks specification. Empty: they are not.
	Signing string
	// Events are of "push", "tag_push", "merge_requests", "note", "pipeline", "job",
	// "deployment" and "releases". Nil: all; of a system hook all that it knows, which are
	// the first three.
	Events []string
	// Branches limits push events to branches that fit a pattern with *; empty: all.
	Branches string
}

var hookEvents = []string{"push", "tag_push", "merge_requests", "note", "pipeline", "job", "deployment", "releases"}

type hook struct {
	Hook
	id      int64
	uuid    string
	created time.Time
	fails   int       // in a row
	until   time.Time // not used before; zero: it is
	backoff time.Duration
	off     bool // for good
}

// When hooks are switched off (docs.gitlab.com/user/project/integrations/webhooks#auto-disabled-webhooks).
const (
	failsUntilPause = 4
	failsUntilOff   = 40
	firstPause      = time.Minute
	longestPause    = 24 * time.Hour
)

// Delivery is one event on its way to one hook. Deliveries are numbered from 1.
type Delivery struct {
	N       int
	Hook    int64  // ID of the hook
	Event   string // X-Gitlab-Event
	Project string
	URL     string
	Header  http.Header
	Body    []byte
	Sent    int   // how often it was sent
	Status  int   // of the last answer; 0: none
	Err     error // why there was none
	Lost    bool  // it was never sent
	Done    bool
}

// Disturbance is what goes wrong with a delivery.
type Disturbance struct {
	Drop   bool
	Copies int           // so many more with the same Idempotency-Key
	Delay  time.Duration // others overtake it meanwhile
}

// outbox is what is to be delivered, one after the other.
type outbox struct {
	all     []*Delivery
	queue   []*Delivery
	held    []*Delivery
	hold    bool
	disturb func(Delivery) Disturbance
	busy    bool
	delayed int
	work    sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc
}

func (o *outbox) stop() {
	if o.cancel != nil {
		o.cancel()
	}
	o.queue = nil
}

// AddHook adds a webhook to a group or project, or a system hook where place is empty, and
// returns its ID.
func (s *Server) AddHook(place string, h Hook) int64 {
	s.enter()
	defer s.leave()
	if p := s.findProject(place); p != nil {
		return s.addHook(&p.hooks, h).id
	} else if g := s.findGroup(place); g != nil {
		return s.addHook(&g.hooks, h).id
	} else if place != "" {
		panic(wrong("there is no group or project %q", place))
	}
	return s.addHook(&s.system, h).id
}

func (s *Server) addHook(to *[]*hook, h Hook) *hook {
	added := &hook{Hook: h, id: s.id("hook"), uuid: uuid(), created: time.Now()}
	*to = append(*to, added)
	s.touch()
	return added
}

// Disturb lets f decide from now on what goes wrong with each delivery; nil: nothing does. It
// is called with the server's lock held: it must not call the server.
func (s *Server) Disturb(f func(Delivery) Disturbance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outbox.disturb = f
}

// Hold keeps deliveries back from now on.
func (s *Server) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outbox.hold = true
}

// Release sends what was kept back, as arranged: another order, some twice, some not at all;
// nil keeps all as they are. Later deliveries are sent at once. The arrangement must not call
// the server.
func (s *Server) Release(arrange func([]Delivery) []Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.outbox.held
	s.outbox.hold, s.outbox.held = false, nil
	if arrange == nil {
		s.send(held...)
		return
	}
	var copies []Delivery
	for _, d := range held {
		copies = append(copies, *d)
	}
	var out []*Delivery
	for _, d := range arrange(copies) {
		out = append(out, s.outbox.all[d.N-1])
	}
	for _, d := range held {
		if !slices.Contains(out, d) {
			d.Lost, d.Done = true, true
		}
	}
	s.send(out...)
}

// Deliveries returns all deliveries so far.
func (s *Server) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Delivery
	for _, d := range s.outbox.all {
		all = append(all, *d)
	}
	return all
}

// Redeliver sends a delivery again, as the button in GitLab does, with the same keys.
func (s *Server) Redeliver(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send(s.outbox.all[n-1])
}

// Settle waits until everything that is not held back was delivered.
func (s *Server) Settle(ctx context.Context) error {
	for {
		s.enter()
		idle, changed := !s.outbox.busy && len(s.outbox.queue) == 0 && s.outbox.delayed == 0, s.changed
		s.leave()
		if idle {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("gitlabfake: wait for deliveries: %w", context.Cause(ctx))
		}
	}
}

// send queues deliveries. Called with the lock held.
func (s *Server) send(all ...*Delivery) {
	if s.closed {
		return
	}
	for _, d := range all {
		d.Done = false
	}
	s.outbox.queue = append(s.outbox.queue, all...)
	if s.outbox.ctx == nil {
		s.outbox.ctx, s.outbox.cancel = context.WithCancel(context.Background())
	}
	if !s.outbox.busy && len(s.outbox.queue) > 0 {
		s.outbox.busy = true
		s.outbox.work.Go(s.deliver)
	}
}

// deliver empties the queue.
func (s *Server) deliver() {
	for {
		s.mu.Lock()
		if len(s.outbox.queue) == 0 {
			s.outbox.busy = false
			s.touch()
			s.mu.Unlock()
			return
		}
		d := s.outbox.queue[0]
		s.outbox.queue = s.outbox.queue[1:]
		s.mu.Unlock()
		s.post(d)
	}
}

// post sends one delivery once and takes note of the answer.
func (s *Server) post(d *Delivery) {
	s.mu.Lock()
	one := *d
	ctx := s.outbox.ctx
	h := s.findHook(d.Hook)
	s.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, s.opts.HookTimeout)
	defer cancel()
	status := 0
	req, err := http.NewRequestWithContext(limited, http.MethodPost, one.URL, bytes.NewReader(one.Body))
	if err == nil {
		req.Header = one.Header.Clone()
		var resp *http.Response
		if resp, err = s.hooks.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
			resp.Body.Close()
			status = resp.StatusCode
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d.Sent++
	d.Status, d.Err, d.Done = status, err, true
	if h != nil && !s.opts.NoAutoDisable {
		h.answered(status, time.Now())
	}
	s.touch()
}

func (h *hook) answered(status int, now time.Time) {
	if status >= 200 && status < 300 {
		h.fails, h.backoff, h.until = 0, 0, time.Time{}
		return
	}
	h.fails++
	if h.fails >= failsUntilOff {
		h.off = true
	} else if h.fails >= failsUntilPause {
		h.backoff = min(longestPause, max(firstPause, h.backoff*2))
		h.until = now.Add(h.backoff)
	}
}

func (h *hook) alert(now time.Time) string {
	switch {
	case h.off:
		return "disabled"
	case now.Before(h.until):
		return "temporarily_disabled"
	}
	return "executable"
}

func (s *Server) findHook(id int64) *hook {
	lists := [][]*hook{s.system}
	for _, p := range s.projects {
		lists = append(lists, p.hooks)
	}
	for _, g := range s.groups {
		lists = append(lists, g.hooks)
	}
	for _, h := range slices.Concat(lists...) {
		if h.id == id {
			return h
		}
	}
	return nil
}

// fire sends an event to the hooks of a project and of the groups above it, and, where they
// know it, to system hooks.
func (s *Server) fire(p *project, event, header, branch string, payload object) {
	id := uuid()
	hooks := slices.Clone(p.hooks)
	for g := p.group; g != nil; g = g.parent {
		hooks = append(hooks, g.hooks...)
	}
	body, _ := json.Marshal(payload)
	for _, h := range hooks {
		s.dispatch(p, h, event, header, branch, id, body)
	}
	if !slices.Contains(hookEvents[:3], event) {
		return
	}
	if event != "merge_requests" { // those of system hooks have no object_kind
		delete(payload, "object_kind")
		body, _ = json.Marshal(payload)
	}
	for _, h := range s.system {
		s.dispatch(p, h, event, "System Hook", branch, id, body)
	}
}

func (s *Server) dispatch(p *project, h *hook, event, header, branch, id string, body []byte) {
	now := time.Now()
	if h.Events != nil && !slices.Contains(h.Events, event) || event == "push" && h.Branches != "" && !matches(h.Branches, branch) {
		return
	}
	if h.alert(now) != "executable" {
		return
	}
	key := uuid()
	head := http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"GitLab/" + s.opts.Version}, "X-Gitlab-Event": {header}, "X-Gitlab-Instance": {s.base},
		"X-Gitlab-Webhook-Uuid": {h.uuid}, "X-Gitlab-Event-Uuid": {id}, "Idempotency-Key": {key},
	}
	if h.Secret != "" {
		head.Set("X-Gitlab-Token", h.Secret)
	}
	if h.Signing != "" {
		stamp := strconv.FormatInt(now.Unix(), 10)
		head.Set("Webhook-Id", key)
		head.Set("Webhook-Timestamp", stamp)
		head.Set("Webhook-Signature", sign(h.Signing, key, stamp, body))
	}
	d := &Delivery{N: len(s.outbox.all) + 1, Hook: h.id, Event: header, Project: p.Path, URL: h.URL, Header: head, Body: body}
	s.outbox.all = append(s.outbox.all, d)
	if s.outbox.hold {
		s.outbox.held = append(s.outbox.held, d)
		return
	}
	var wrong Disturbance
	if s.outbox.disturb != nil {
		wrong = s.outbox.disturb(*d)
	}
	if wrong.Drop {
		d.Lost, d.Done = true, true
		return
	}
	copies := slices.Repeat([]*Delivery{d}, 1+wrong.Copies)
	if wrong.Delay == 0 {
		s.send(copies...)
		return
	}
	s.outbox.delayed++
	time.AfterFunc(wrong.Delay, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.outbox.delayed--
		s.send(copies...)
		s.touch()
	})
}

// sign is a signature after the Standard Webhooks specification (standardwebhooks.com).
func sign(signing, id, stamp string, body []byte) string {
	encoded := strings.TrimPrefix(signing, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		key = []byte(encoded)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func uuid() string {
	x := secret(16)
	return x[:8] + "-" + x[8:12] + "-4" + x[13:16] + "-a" + x[17:20] + "-" + x[20:]
}

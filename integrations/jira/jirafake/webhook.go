package jirafake

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/muster-release/muster/integrations/accidents"
)

// Webhook is somebody who wants to be told.
type Webhook struct {
	URL string
	// Secret signs every body, in X-Hub-Signature; empty: nothing is signed.
	Secret string
	// Events are the names of what is sent; nil: everything.
	Events []string
	// Client sends the requests; nil: http.DefaultClient.
	Client *http.Client
	// Send, when set, takes the requests instead. It returns the status of the answer.
	Send func(*http.Request) (int, error)
}

// Delivery is one thing to be told to one webhook, with all attempts at that.
type Delivery struct {
	N        int
	ID       string // X-Atlassian-Webhook-Identifier; it stays the same
	Event    string // "jira:issue_updated"
	URL      string
	Body     string
	Attempts int
	Status   int    // of the last answer; 0: there was none
	Error    string // of the last attempt
	Taken    bool   // an attempt was answered with 2xx
	Lost     bool   // by a Treatment
	Over     bool
}

// Treatment is what happens to a delivery on its way.
type Treatment struct {
	Lose   bool // it is never sent
	Copies int  // how often it is sent again though it was taken
	// Swap lets the next delivery to the same webhook overtake it. Settle sends it when
	// there is none.
	Swap  bool
	Delay time.Duration // before it is sent; others overtake it
}

// SetTreatment lets f decide what happens to each delivery from now on; nil: nothing does. It is called
// without any lock held.
func (j *Jira) SetTreatment(f func(Delivery) Treatment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.treat = f
}

type hook struct {
	Webhook
	queue   []*parcel
	running bool
	swapped []*parcel
}

// parcel is a delivery with what is needed to make it.
type parcel struct {
	*Delivery
	hook *hook
	flow string
}

// AddWebhook tells somebody of everything from now on.
func (j *Jira) AddWebhook(w Webhook) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.hooks = append(j.hooks, &hook{Webhook: w})
}

// Deliveries returns all deliveries so far.
func (j *Jira) Deliveries() []Delivery {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]Delivery, 0, len(j.deliveries))
	for _, d := range j.deliveries {
		all = append(all, *d)
	}
	return all
}

// Settle waits until every delivery is over: taken, lost or given up.
func (j *Jira) Settle(ctx context.Context) error {
	for {
		j.mu.Lock()
		for _, h := range j.hooks {
			if !h.running && len(h.queue) == 0 && len(h.swapped) > 0 {
				h.queue, h.swapped = h.swapped, nil
				j.drive(h)
			}
		}
		pending, changed := j.pending, j.changed
		j.mu.Unlock()
		if pending == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("jirafake: settle: %d deliveries are not over: %w", pending, context.Cause(ctx))
		}
	}
}

// Redeliver sends a delivery once more, as Jira does when an answer is lost on its way.
func (j *Jira) Redeliver(n int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n < 1 || n > len(j.deliveries) {
		return fmt.Errorf("jirafake: redeliver: there is no delivery %d", n)
	}
	d := j.deliveries[n-1]
	for _, h := range j.hooks {
		if h.URL == d.URL {
			flow := ""
			if j.cloud {
				flow = "Primary"
			}
			j.enqueue(&parcel{d, h, flow})
			return nil
		}
	}
	return fmt.Errorf("jirafake: redeliver: nobody is at %q any more", d.URL)
}

// tell queues an event for everybody who wants it. Called with the lock held.
func (j *Jira) tell(name, flow string, body Object) {
	if j.closed {
		return
	}
	body["timestamp"], body["webhookEvent"] = time.Now().UnixMilli(), name
	raw, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("jirafake: a webhook that is no JSON: %v", err))
	}
	for _, h := range j.hooks {
		if h.Events != nil && !slices.Contains(h.Events, name) {
			continue
		}
		b := make([]byte, 16)
		rand.Read(b)
		d := &Delivery{N: len(j.deliveries) + 1, ID: hex.EncodeToString(b), Event: name, URL: h.URL, Body: string(raw)}
		j.deliveries = append(j.deliveries, d)
		if !j.cloud { // it has one lane
			flow = ""
		}
		j.enqueue(&parcel{d, h, flow})
	}
}

func (j *Jira) enqueue(p *parcel) {
	j.pending++
	p.Over = false
	p.hook.queue = append(p.hook.queue, p)
	j.drive(p.hook)
}

// drive sends what is queued for a webhook, in a goroutine that ends when nothing is.
func (j *Jira) drive(h *hook) {
	if h.running || j.closed {
		return
	}
	h.running = true
	j.work.Go(func() {
		for {
			j.mu.Lock()
			if len(h.queue) == 0 || j.closed {
				h.running = false
				j.touch()
				j.mu.Unlock()
				return
			}
			p := h.queue[0]
			h.queue = h.queue[1:]
			treat := j.treat
			d := *p.Delivery
			j.mu.Unlock()
			var t Treatment
			if treat != nil && d.Attempts == 0 {
				t = treat(d)
			}
			j.handle(p, t)
		}
	})
}

// handle makes a delivery, or sees to it that it is made later.
func (j *Jira) handle(p *parcel, t Treatment) {
	switch {
	case t.Lose:
		j.mu.Lock()
		defer j.mu.Unlock()
		p.Lost = true
		j.finish(p)
		return
	case t.Swap:
		j.mu.Lock()
		defer j.mu.Unlock()
		p.Attempts = -1 // not again
		p.hook.swapped = append(p.hook.swapped, p)
		j.touch()
		return
	case t.Delay > 0:
		j.later(t.Delay, func() { j.send(p, t.Copies) })
		return
	}
	j.send(p, t.Copies)
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(p.hook.swapped) > 0 {
		p.hook.queue, p.hook.swapped = append(p.hook.swapped, p.hook.queue...), nil
	}
}

func (j *Jira) later(d time.Duration, f func()) {
	j.work.Go(func() {
		accidents.Pause(j.stop, d)
		if j.stop.Err() == nil {
			f()
		}
	})
}

func (j *Jira) finish(p *parcel) {
	p.Over = true
	j.pending--
	j.touch()
}

// send makes one attempt, and the next ones in the background.
func (j *Jira) send(p *parcel, copies int) {
	j.mu.Lock()
	n := max(p.Attempts, 0)
	d, w := *p.Delivery, p.hook.Webhook
	j.mu.Unlock()
	status, err := attempt(j.stop, w, d, p.flow, n)
	j.mu.Lock()
	defer j.mu.Unlock()
	p.Attempts, p.Status, p.Error = n+1, status, ""
	if err != nil {
		p.Error = err.Error()
	}
	taken := err == nil && status >= 200 && status < 300
	p.Taken = p.Taken || taken
	switch {
	case j.closed:
	case taken && copies > 0:
		j.later(0, func() { j.send(p, copies-1) })
	case !taken && again(status) && n < len(j.retries):
		j.later(j.retries[n], func() { j.send(p, copies) })
	default:
		j.finish(p)
	}
}

// again says which answers Jira Cloud repeats a delivery after
// (developer.atlassian.com/cloud/jira/platform/webhooks). No answer is 0.
func again(status int) bool {
	return status == 0 || status == 408 || status == 409 || status == 425 || status == 429 || status >= 500
}

func attempt(ctx context.Context, w Webhook, d Delivery, flow string, n int) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, fmt.Errorf("jirafake: webhook: no answer in 30 s"))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader([]byte(d.Body)))
	if err != nil {
		return 0, fmt.Errorf("jirafake: webhook to %q: %w", w.URL, err)
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "Atlassian Webhook HTTP Client")
	r.Header.Set("X-Atlassian-Webhook-Identifier", d.ID)
	if flow != "" {
		r.Header.Set("X-Atlassian-Webhook-Flow", flow)
	}
	if n > 0 {
		r.Header.Set("X-Atlassian-Webhook-Retry", strconv.Itoa(n))
	}
	if w.Secret != "" {
		mac := hmac.New(sha256.New, []byte(w.Secret))
		mac.Write([]byte(d.Body))
		r.Header.Set("X-Hub-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	if w.Send != nil {
		return w.Send(r)
	}
	client := w.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("jirafake: webhook to %q: %w", w.URL, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, nil
}

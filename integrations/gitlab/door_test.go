package gitlab

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks"
)

// desk is Muster's side of the door: what was taken there is durable.
type desk struct {
	mu      sync.Mutex
	events  []events.Event
	lines   []chat.Event
	known   map[string]bool
	refuses func() error
}

func (d *desk) Take(ctx context.Context, all ...events.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuses != nil {
		if err := d.refuses(); err != nil {
			return err
		}
	}
	for _, e := range all {
		if d.isNew(e.ID) {
			d.events = append(d.events, e)
		}
	}
	return nil
}

func (d *desk) Receive(ctx context.Context, e chat.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuses != nil {
		if err := d.refuses(); err != nil {
			return err
		}
	}
	if d.isNew("line " + e.ID) {
		d.lines = append(d.lines, e)
	}
	return nil
}

func (d *desk) isNew(id string) bool {
	if d.known == nil {
		d.known = make(map[string]bool)
	}
	was := d.known[id]
	d.known[id] = true
	return !was
}

func (d *desk) taken() []events.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.events)
}

func (d *desk) said() []chat.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

func (d *desk) facts() (all []string) {
	for _, e := range d.taken() {
		all = append(all, e.Fact)
	}
	return all
}

// alone is a GitLab of whose API nothing is asked.
func aloneAt(t testing.TB, change func(*Options)) *GitLab {
	t.Helper()
	o := Options{
		URL: "https://git.example.com/sub", Token: "glpat-x", WebhookSecret: "s3cret", Catalog: func() *playbooks.Catalog { return &playbooks.Catalog{} },
		HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return nil, errors.New("nothing is to be asked here")
		})},
	}
	if change != nil {
		change(&o)
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const pushed = `{"object_kind":"push","event_name":"push","before":"95790bf891e76fee5e1747ab589903a6a1f80f22","after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
	"ref":"refs/heads/main","checkout_sha":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","user_username":"ann","project":{"path_with_namespace":"shop/api"},
	"commits":[{"id":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","message":"Fix it\n\nReally"}]}`

// deliver sends a delivery to a door, with GitLab's headers and those that are given.
func deliver(door http.Handler, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/gitlab/webhook", strings.NewReader(body))
	r.Header.Set("X-Gitlab-Event", "Push Hook")
	r.Header.Set("X-Gitlab-Token", "s3cret")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	door.ServeHTTP(w, r)
	return w
}

func TestDoor(t *testing.T) {
	signing := "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	other := "whsec_" + base64.StdEncoding.EncodeToString([]byte("another key of thirty-two bytes!"))
	now := strconv.FormatInt(time.Now().Unix(), 10)
	signed := func(secret, id, stamp, body string) string {
		key, err := signingKey(secret)
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, key)
		io.WriteString(mac, id+"."+stamp+"."+body)
		return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	ago := strconv.FormatInt(time.Now().Add(-6*time.Minute).Unix(), 10)
	ahead := strconv.FormatInt(time.Now().Add(6*time.Minute).Unix(), 10)
	tests := []struct {
		name    string
		secret  string
		signing []string
		body    string
		headers []string
		status  int
		id      string // of the event
	}{
		{name: "secret token", secret: "s3cret", body: pushed, headers: []string{"Idempotency-Key", "k1"}, status: 204, id: "k1"},
		{name: "wrong secret token", secret: "s3cret", body: pushed, headers: []string{"X-Gitlab-Token", "s3cres"}, status: 401},
		{name: "secret token and more", secret: "s3cret", body: pushed, headers: []string{"X-Gitlab-Token", "s3cret "}, status: 401},
		{name: "no secret token", secret: "s3cret", body: pushed, headers: []string{"X-Gitlab-Token", ""}, status: 401},
		{name: "nothing is configured", body: pushed, status: 401},
		{name: "nothing is configured nor shown", body: pushed, headers: []string{"X-Gitlab-Token", ""}, status: 401},

		{name: "signature", signing: []string{signing}, body: pushed, status: 204, id: "m1",
			headers: []string{"Webhook-Id", "m1", "Webhook-Timestamp", now, "Webhook-Signature", signed(signing, "m1", now, pushed)}},
		{name: "one of several signatures", signing: []string{signing}, body: pushed, status: 204, id: "m1",
			headers: []string{"Webhook-Id", "m1", "Webhook-Timestamp", now, "Webhook-Signature", "v1,AAAA v2,x " + signed(other, "m1", now, pushed) + " " + signed(signing, "m1", now, pushed)}},
		{name: "one of several keys", signing: []string{other, signing}, body: pushed, status: 204, id: "m1",
			headers: []string{"Webhook-Id", "m1", "Webhook-Timestamp", now, "Webhook-Signature", signed(signing, "m1", now, pushed)}},
		{name: "no signature", signing: []string{signing}, body: pushed, status: 401, headers: []string{"Webhook-Id", "m1", "Webhook-Timestamp", now}},
		{name: "a key that is not ours", signing: []string{signing}, body: pushed, status: 401,
			headers: []string{"Webhook-Id", "m1", "Webhook-Timestamp", now, "Webhook-Signature", signed(other, "m1", now, pushed)}},
		{name: "another body", signing: []string{signing}, body: pushed, status: 401,
			headers: []string{"Webhook-Id", "m1", "Webhook-Timestamp", now, "Webhook-Signature", signed(signing, "m1", now, pushed+" ")}},
		{name: "another ID", signing: []string{signing}, body: pushed, status: 401,
			headers: []string{"Webhook-Id", "m2", "Webhook-Timestamp", now, "Webhook-Signature", signed(signing, "m1", now, pushed)}},
		{name: "no ID", signing: []string{signing}, body: pushed, status: 401,
			headers: []string{"Webhook-Timestamp", now, "Webhook-Signature", signed(signing, "", now, pushed)}},
		{name: "signed long ago", signing: []string{signing}, body: pushed, status: 401,
			headers: []string{"Webhook-Id", "m1", "Webhook-Timestamp", ago, "Webhook-Signature", signed(signing, "m1", ago, pushed)}},
		{name: "signed in the future", signing: []string{signing}, body: pushed, status: 401,
			headers: []string{"Webhook-Id", "m1", "Webhook-Timestamp", ahead, "Webhook-Signature", signed(signing, "m1", ahead, pushed)}},
		{name: "no timestamp", signing: []string{signing}, body: pushed, status: 401,
			headers: []string{"Webhook-Id", "m1", "Webhook-Signature", signed(signing, "m1", "", pushed)}},
		{name: "another version of the scheme", signing: []string{signing}, body: pushed, status: 401,
			headers: []string{"Webhook-Id", "m1", "Webhook-Timestamp", now, "Webhook-Signature", "v2" + signed(signing, "m1", now, pushed)[2:]}},

		{name: "both", secret: "s3cret", signing: []string{signing}, body: pushed, status: 204, id: "m1",
			headers: []string{"Idempotency-Key", "forged", "Webhook-Id", "m1", "Webhook-Timestamp", now, "Webhook-Signature", signed(signing, "m1", now, pushed)}},
		{name: "both are configured and one is shown", secret: "s3cret", signing: []string{signing}, body: pushed, status: 401},
		{name: "both are configured and the other is shown", secret: "s3cret", signing: []string{signing}, body: pushed, status: 401,
			headers: []string{"X-Gitlab-Token", "", "Webhook-Id", "m1", "Webhook-Timestamp", now, "Webhook-Signature", signed(signing, "m1", now, pushed)}},

		{name: "an event of no interest", secret: "s3cret", body: `{"object_kind":"emoji","project":{"path_with_namespace":"shop/api"}}`, status: 204},
		{name: "an event of no kind", secret: "s3cret", body: `{"zen":"x"}`, status: 204},
		{name: "an event of another shape", secret: "s3cret", body: `{"object_kind":"pipeline","project":{"path_with_namespace":"shop/api"},"object_attributes":{"id":"x"}}`, status: 204},
		{name: "no JSON", secret: "s3cret", body: "payload=1", status: 400},
		{name: "no object", secret: "s3cret", body: "[]", status: 400},
		{name: "null", secret: "s3cret", body: "null", status: 400},
		{name: "nothing", secret: "s3cret", body: "", status: 400},
		{name: "too large", secret: "s3cret", body: `{"x":"` + strings.Repeat("x", maxBody) + `"}`, status: 413},
		{name: "large", secret: "s3cret", body: pushed[:len(pushed)-1] + `,"x":"` + strings.Repeat("x", maxBody-len(pushed)-20) + `"}`, headers: []string{"Idempotency-Key", "k"}, status: 204, id: "k"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := aloneAt(t, func(o *Options) { o.WebhookSecret, o.SigningSecrets = tt.secret, tt.signing })
			d := &desk{}
			w := deliver(g.Handler(d, d), tt.body, tt.headers...)
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if strings.Contains(w.Body.String(), "s3cret") {
				t.Errorf("the answer holds the secret: %s", w.Body)
			}
			var ids []string
			for _, e := range d.taken() {
				ids = append(ids, e.ID)
			}
			if want := strings.Fields(tt.id); !slices.Equal(ids, want) {
				t.Errorf("taken were %q, want %q", ids, want)
			}
			s := g.Stats()
			if s.Events+s.Ignored+s.Refused != 1 {
				t.Errorf("counted were %+v, want one", s)
			}
		})
	}
}

// The figures are those of Standard Webhooks' own libraries: one secret, message and signature
// (https://github.com/standard-webhooks/standard-webhooks/tree/main/libraries).
func TestStandardWebhooks(t *testing.T) {
	type vector struct {
		Secret    string `json:"secret"`
		ID        string `json:"webhook-id"`
		Stamp     string `json:"webhook-timestamp"`
		Body      string `json:"body"`
		Signature string `json:"webhook-signature"`
	}
	vectors := []vector{{
		Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Stamp: "1614265330", Body: `{"test": 2432232314}`,
		Signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	}}
	if folder := os.Getenv("MUSTER_PAYLOADS"); folder != "" {
		data, err := os.ReadFile(filepath.Join(folder, "gitlab", "standard_webhooks_vector.json"))
		if err != nil {
			t.Fatal(err)
		}
		var v vector
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, v)
	} else if os.Getenv("CI") == "true" {
		t.Error("MUSTER_PAYLOADS names no folder")
	}
	for _, v := range vectors {
		g := aloneAt(t, func(o *Options) { o.SigningSecrets = []string{v.Secret} })
		h := http.Header{}
		h.Set("Webhook-Id", v.ID)
		h.Set("Webhook-Timestamp", v.Stamp)
		h.Set("Webhook-Signature", v.Signature)
		if !g.signedBy(h, []byte(v.Body)) {
			t.Errorf("the signature of %q does not fit", v.ID)
		}
		if g.signedBy(h, []byte(v.Body+"\n")) {
			t.Errorf("the signature of %q fits another body", v.ID)
		}
	}
}

func TestDeliveryID(t *testing.T) {
	tests := []struct {
		name    string
		headers []string
		signed  bool
		want    string
	}{
		{"key", []string{"Idempotency-Key", "k", "X-Gitlab-Event-Uuid", "u", "Webhook-Id", "w"}, false, "k"},
		{"what is signed counts", []string{"Idempotency-Key", "k", "Webhook-Id", "w"}, true, "w"},
		{"event, which others share", []string{"X-Gitlab-Event-Uuid", "u"}, false, "u 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
		{"webhook ID", []string{"Webhook-Id", "w"}, false, "w"},
		{"nothing", nil, false, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
		{"long", []string{"Idempotency-Key", strings.Repeat("k", 201)}, false, "a3f6cb8ed53ab8ca8ff7d4d4f4a3e3f0"},
	}
	for _, tt := range tests {
		h := http.Header{}
		for i := 0; i < len(tt.headers); i += 2 {
			h.Set(tt.headers[i], tt.headers[i+1])
		}
		got := deliveryID(h, []byte("hello"), tt.signed)
		if tt.name == "long" {
			if len(got) != 64 {
				t.Errorf("%s: ID = %q, want a digest", tt.name, got)
			}
			continue
		}
		if got != tt.want {
			t.Errorf("%s: ID = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What the store could not take is to be sent again; what nobody will ever take is not.
func TestDoorFailures(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status int
	}{
		{"the store is down", errors.New("disk full"), 503},
		{"nobody can take it", refuse("no"), 204},
		{"too many", &calls.Later{Text: "intake", Wait: time.Minute, Err: errors.New("full")}, 503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &desk{refuses: func() error { return tt.err }}
			w := deliver(aloneAt(t, nil).Handler(d, d), pushed)
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d", w.Code, tt.status)
			}
			if again := w.Header().Get("Retry-After"); (again != "") != (tt.status == 503) {
				t.Errorf("Retry-After = %q", again)
			}
			if strings.Contains(w.Body.String(), "disk") {
				t.Errorf("the answer tells strangers: %s", w.Body)
			}
		})
	}
}

// An answer that takes too long is a refusal, before GitLab gives up.
func TestDoorIsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		slow := intakeFunc(func(ctx context.Context, _ ...events.Event) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if w := deliver(aloneAt(t, nil).Handler(slow, nil), pushed); w.Code != 503 {
			t.Errorf("status = %d, want 503", w.Code)
		}
		if took := time.Since(began); took >= 10*time.Second {
			t.Errorf("it took %v, and GitLab waits 10 s", took)
		}
	})
}

type intakeFunc func(context.Context, ...events.Event) error

func (f intakeFunc) Take(ctx context.Context, all ...events.Event) error { return f(ctx, all...) }

func TestDoorPaths(t *testing.T) {
	door := aloneAt(t, nil).Handler(&desk{}, nil)
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/gitlab/webhook", 405},
		{http.MethodPut, "/gitlab/webhook", 405},
		{http.MethodPost, "/gitlab/webhook/x", 404},
		{http.MethodPost, "/gitlab", 404},
	} {
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(pushed))
		r.Header.Set("X-Gitlab-Token", "s3cret")
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if w.Code != tt.status {
			t.Errorf("%s %s: status = %d, want %d", tt.method, tt.path, w.Code, tt.status)
		}
	}
}

// wire is a listener whose connections are pipes, so that time stands still around them.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// overWire serves a handler, and returns a connection to it.
func overWire(t *testing.T, h http.Handler) net.Conn {
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: h}
	go server.Serve(l)
	ours, theirs := net.Pipe()
	l.conns <- theirs
	t.Cleanup(func() { ours.Close(); server.Close() })
	return ours
}

// A body that does not come keeps nobody for long, and one that was not proven to come from GitLab is not
// even waited for.
func TestDoorSlowBody(t *testing.T) {
	for _, tt := range []struct {
		token  string
		status string
		most   time.Duration
	}{{"s3cret", "408", 2 * bodyTime}, {"wrong", "401", time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			d := &desk{}
			conn := overWire(t, aloneAt(t, nil).Handler(d, nil))
			began := time.Now()
			answer := make(chan string, 1)
			go func() {
				var b bytes.Buffer
				chunk := make([]byte, 4096)
				for {
					n, err := conn.Read(chunk)
					b.Write(chunk[:n])
					if err != nil || bytes.Contains(b.Bytes(), []byte("\r\n\r\n")) {
						answer <- b.String()
						return
					}
				}
			}()
			fmt.Fprintf(conn, "POST /gitlab/webhook HTTP/1.1\r\nHost: muster\r\nX-Gitlab-Token: %s\r\nContent-Length: 1000\r\n\r\n{\"object", tt.token)
			got := <-answer
			if !strings.HasPrefix(got, "HTTP/1.1 "+tt.status) {
				t.Errorf("the answer is %q, want %s", got, tt.status)
			}
			if took := time.Since(began); took > tt.most {
				t.Errorf("it took %v, want at most %v", took, tt.most)
			}
			if n := len(d.taken()); n != 0 {
				t.Errorf("%d events were taken", n)
			}
			conn.Close()
			synctest.Wait()
		})
	}
}

// Many at once, each some times, are each taken once.
func TestDoorConcurrent(t *testing.T) {
	d := &desk{}
	door := aloneAt(t, nil).Handler(d, d)
	var group sync.WaitGroup
	for i := range 50 {
		for range 4 {
			group.Go(func() {
				if w := deliver(door, pushed, "Idempotency-Key", fmt.Sprint("k", i)); w.Code != 204 {
					t.Errorf("status = %d", w.Code)
				}
			})
		}
	}
	group.Wait()
	if n := len(d.taken()); n != 50 {
		t.Errorf("%d events were taken, want 50", n)
	}
}

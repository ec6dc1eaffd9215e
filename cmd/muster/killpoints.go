package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack"
)

// killer makes the process kill itself at the n-th time that it passes a point. It is for
// the tests that kill Muster.
type killer struct {
	point  string
	n      int64
	passed atomic.Int64
	self   *os.Process
}

// newKiller reads POINT:N, of some points and what is below them: "called" is also
// "called/chat.update".
func newKiller(where string, points ...string) (*killer, error) {
	point, number, _ := strings.Cut(where, ":")
	first, _, _ := strings.Cut(point, "/")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || !slices.Contains(points, first) {
		return nil, misuse("--kill-at %q: want POINT:N, where POINT is one of %s", where, strings.Join(points, ", "))
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return nil, err
	}
	return &killer{point: point, n: n, self: self}, nil
}

// pass does not return at the point where the process is to die. It dies after a while: for
// what others are about to finish.
func (k *killer) pass(point string, after time.Duration) error {
	if !strings.HasPrefix(point+"/", k.point+"/") || k.passed.Add(1) != k.n {
		return nil
	}
	time.Sleep(after)
	if err := k.self.Kill(); err != nil {
		return errors.Join(errors.New("kill at "+k.point), err)
	}
	select {} // until the signal is there
}

// What a chat's killer can die at: before an event is durable and after, before it is decided
// (it is acknowledged then), before a call to the chat and when its answer has arrived.
//
//	arrived/KIND, durable/KIND     of slash, press, view and event
//	deciding
//	calling/METHOD, called/METHOD  and of posts METHOD/KIND, the beginning of the message's key
var talkPoints = []string{"arrived", "durable", "deciding", "calling", "called"}

// acknowledging is how long an acknowledgement may be on its way.
const acknowledging = 300 * time.Millisecond

// client makes calls that the process may not survive.
func (k *killer) client() *http.Client { return &http.Client{Transport: deadlyCalls{k}} }

// between puts the killer between a chat and the bot.
func (k *killer) between(t *talk) {
	t.people = deadlyPeople{t.people, k}
	t.host = func(b *bot.Bot) slack.Host { return deadlyHost{b, k} }
}

type deadlyHost struct {
	*bot.Bot
	k *killer
}

func (h deadlyHost) Receive(ctx context.Context, e chat.Event) error {
	kind, _, _ := strings.Cut(e.ID, "/")
	if err := h.k.pass("arrived/"+kind, 0); err != nil {
		return err
	}
	if err := h.Bot.Receive(ctx, e); err != nil {
		return err
	}
	return h.k.pass("durable/"+kind, 0)
}

// atDoor marks what is asked before anything is taken.
type atDoor struct{}

func (h deadlyHost) Form(ctx context.Context, e chat.Event) *chat.Form {
	return h.Bot.Form(context.WithValue(ctx, atDoor{}, true), e)
}

func (h deadlyHost) Suggest(ctx context.Context, from, form, input, typed string) []chat.Choice {
	return h.Bot.Suggest(context.WithValue(ctx, atDoor{}, true), from, form, input, typed)
}

func (h deadlyHost) Fill(ctx context.Context, from string, f chat.Filled) (string, map[string]string) {
	return h.Bot.Fill(context.WithValue(ctx, atDoor{}, true), from, f)
}

type deadlyPeople struct {
	chat.Directory
	k *killer
}

// Person is the first that is asked when a line is decided.
func (p deadlyPeople) Person(ctx context.Context, handle string) (id, why string, err error) {
	if ctx.Value(atDoor{}) == nil {
		if err := p.k.pass("deciding", acknowledging); err != nil {
			return "", "", err
		}
	}
	return p.Directory.Person(ctx, handle)
}

type deadlyCalls struct{ k *killer }

func (d deadlyCalls) RoundTrip(r *http.Request) (*http.Response, error) {
	what := whatCall(r)
	if err := d.k.pass("calling/"+what, 0); err != nil {
		return nil, err
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if err := d.k.pass("called/"+what, 0); err != nil {
		answer.Body.Close()
		return nil, err
	}
	return answer, nil
}

var keyKind = regexp.MustCompile(`"key":"([a-z]+)/`)

// whatCall names a call of the Web API, or to a response URL.
func whatCall(r *http.Request) string {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return "response_url"
	}
	method := path.Base(r.URL.Path)
	if method != "chat.postMessage" || r.Body == nil {
		return method
	}
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, bad := url.ParseQuery(string(body))
	if kind := keyKind.FindStringSubmatch(form.Get("metadata")); err == nil && bad == nil && kind != nil {
		return method + "/" + kind[1]
	}
	return method
}

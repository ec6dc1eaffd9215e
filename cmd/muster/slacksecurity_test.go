package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/integrations/slack/slackfake"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store/mem"
)

// fort is Muster in Slack with everything that somebody might attack: all who could not
// answer for what they are could answer for the groups that they are in.
type fort struct {
	t         *testing.T
	way       string // "http" or "socket"
	network   *slackfake.Network
	fake      *slackfake.Workspace
	world     *local.World
	app       *app
	log       *syncBuffer
	qa        string       // ID of the user group
	channel   string       // #releases
	other     string       // #random
	elsewhere atomic.Int64 // connections to a host that is not Slack's

	mu      sync.Mutex
	deploys error // what the next deployment says
}

const (
	fortApp       = "muster.test"
	fortElsewhere = "elsewhere.test"
	// fortNasty is a text that would ring, link, format and break out of a code block, if it were markup.
	fortNasty = "<!channel> <!here|x> <@UMALLORY> <#C0001> <https://elsewhere.test|click> ```x``` `y` *z* &lt;!channel&gt;"
)

func fortCatalog() *playbooks.Catalog {
	c := &playbooks.Catalog{
		Name: "Fort",
		Environments: []playbooks.Environment{
			{Name: "production", Channels: []string{"#releases"}, Approvals: &playbooks.ApprovalPolicy{
				Rules: []playbooks.ApprovalRule{{Group: "leads", Count: 1}, {Group: "qa", Count: 1}}, Distinct: true, ExcludeRequester: true,
			}},
			{Name: "staging", Channels: []string{"#releases"}, Approvals: &playbooks.ApprovalPolicy{None: true}},
		},
		Access: []playbooks.Access{
			{Who: []string{"ann"}, Role: playbooks.Admin}, {Who: []string{"leads"}, Role: playbooks.Releaser}, {Who: []string{"dan", "eve", "bob"}, Role: playbooks.Viewer},
		},
		Modules: []playbooks.Module{
			{Name: "cart", Version: "v2.0.0"}, {Name: "redis", Version: "v7.4.1"},
			{Name: "`<!channel>*mod*", Version: "v1.0.0", Description: fortNasty},
		},
	}
	for _, id := range []string{"ann", "bob", "cleo", "dan", "gone", "robot", "guest", "foreign"} {
		c.People = append(c.People, playbooks.Person{ID: id, Name: strings.ToUpper(id[:1]) + id[1:], Handles: map[string]string{"slack": "U" + strings.ToUpper(id)}})
	}
	c.People = append(c.People,
		playbooks.Person{ID: "eve", Name: "Eve", Email: "eve@example.org"},
		playbooks.Person{ID: "twin1", Name: "Twin", Email: "twin@example.org"},
		playbooks.Person{ID: "twin2", Name: "Twin", Email: "twin@example.org"},
	)
	c.Groups = []playbooks.Group{
		{Name: "leads", Members: []string{"ann", "cleo", "gone", "robot", "guest", "foreign", "twin1", "twin2"}},
		{Name: "qa", Members: []string{"bob"}, From: map[string]string{"slack": "@qa"}},
	}
	return c
}

// inFort plays a scene by both ways in, and looks afterwards whether secrets were logged.
func inFort(t *testing.T, scene func(t *testing.T, f *fort)) {
	for _, way := range []string{"socket", "http"} {
		t.Run(way, func(t *testing.T) { inFortBy(t, way, scene) })
	}
}

func inFortBy(t *testing.T, way string, scene func(t *testing.T, f *fort)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFort(t, way)
		defer f.close()
		scene(t, f)
		time.Sleep(time.Minute)
		f.checkLog()
		if n := f.elsewhere.Load(); n > 0 {
			t.Errorf("somebody called a host that is not Slack's %d times", n)
		}
		f.checkMarkup()
	})
}

func newFort(t *testing.T, way string) *fort {
	f := &fort{t: t, way: way, network: slackfake.NewNetwork(), log: new(syncBuffer)}
	var err error
	if f.fake, err = slackfake.New(slackfake.Options{Network: f.network}); err != nil {
		t.Fatal(err)
	}
	members := []string{slackfake.BotUser}
	for _, u := range []slackfake.User{
		{ID: "UANN"}, {ID: "UBOB"}, {ID: "UCLEO"}, {ID: "UDAN"}, {ID: "UMALLORY"}, {ID: "UGONE"}, {ID: "UGUEST"},
		{ID: "UROBOT", Bot: true}, {ID: "UFOREIGN", Team: slackfake.ForeignTeam},
		{ID: "UEVE", Email: "Eve@example.org"}, {ID: "UTWIN", Email: "twin@example.org"},
	} {
		u.Name = strings.ToLower(u.ID[1:])
		u.RealName = u.Name
		members = append(members, f.fake.AddUser(u))
	}
	f.channel = f.fake.AddChannel(slackfake.Channel{Name: "releases", Members: members})
	f.other = f.fake.AddChannel(slackfake.Channel{Name: "random", Members: members})
	f.qa = f.fake.AddUserGroup(slackfake.Group{Handle: "qa", Name: "QA", Users: []string{"UEVE", "UMALLORY"}})
	f.fake.Deactivate("UGONE")

	if f.world, err = local.Open("", local.Options{Intercept: func(_ context.Context, c local.Call) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if c.System == "cluster" && c.Method == "Start" && !c.After {
			return f.deploys
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	catalog := fortCatalog()
	for _, m := range catalog.Modules {
		if err := f.world.Forge.SetBuild(playbooks.BuildState{Module: m.Name, Version: m.Version, State: "passed"}); err != nil {
			t.Fatal(err)
		}
	}
	config := &configs.Slack{BotToken: configs.NewSecret(f.fake.BotToken()), APIURL: f.fake.APIURL(), Connections: 2}
	if way == "socket" {
		config.AppToken = configs.NewSecret(f.fake.AppToken())
	} else {
		f.fake.DeliverHTTP("http://" + fortApp)
		if way == "http" {
			config.SigningSecret = configs.NewSecret(f.fake.SigningSecret())
		}
	}
	log := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client := f.network.Client()
	outer := &http.Transport{DialContext: f.network.DialContext}
	outer.RegisterProtocol("http", withGuests{client.Transport})
	client.Transport = outer
	f.app, err = newApp(t.Context(), appOptions{
		Catalog: catalog, Store: mem.New(mem.Options{}), World: f.world, Log: log,
		Talk: slackTalk(config, func() []playbooks.Person { return catalog.People }, client, log),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.app.Start(context.Background())
	f.serve(fortApp, f.app.doors())
	f.listenElsewhere()
	time.Sleep(5 * time.Second)
	return f
}

// withGuests makes the guest a guest: the fake knows none.
type withGuests struct{ http.RoundTripper }

func (w withGuests) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := w.RoundTripper.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/users.info") {
		return answer, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	said := strings.Replace(string(body), `"id":"UGUEST"`, `"id":"UGUEST","is_restricted":true`, 1)
	answer.Body, answer.ContentLength = io.NopCloser(strings.NewReader(said)), int64(len(said))
	answer.Header.Del("Content-Length")
	return answer, nil
}

func (f *fort) serve(host string, doors map[string]http.Handler) {
	l, err := f.network.Listen(host)
	if err != nil {
		f.t.Fatal(err)
	}
	mux := http.NewServeMux()
	for path, door := range doors {
		mux.Handle(path, door)
	}
	server := &http.Server{Handler: mux}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	f.app.onStop(func() { _ = server.Close(); serving.Wait() })
}

func (f *fort) listenElsewhere() {
	l, err := f.network.Listen(fortElsewhere)
	if err != nil {
		f.t.Fatal(err)
	}
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.elsewhere.Add(1)
			conn.Close()
		}
	})
	f.app.onStop(func() { l.Close(); listening.Wait() })
}

func (f *fort) close() {
	if err := f.app.Stop(); err != nil {
		f.t.Error(err)
	}
	if err := f.fake.Close(); err != nil {
		f.t.Error(err)
	}
}

// events is the log of a run, a line for each event that a person caused.
func (f *fort) events(run string) []string {
	f.t.Helper()
	var lines []string
	err := f.app.engine.Events(f.t.Context(), run, 1, func(_ uint64, e playbooks.Event) error {
		if e.By != "" {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.By, e.Type, e.Reason)))
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return lines
}

func (f *fort) runs() int {
	f.t.Helper()
	all, err := f.app.engine.History(f.t.Context(), 100)
	if err != nil {
		f.t.Fatal(err)
	}
	return len(all)
}

// nothing makes sure that what happens in do leaves no trace in any run.
func (f *fort) nothing(do func()) {
	f.t.Helper()
	look := func() (all []string) {
		for i := range f.runs() {
			all = append(all, fmt.Sprintf("run %d", i+1))
			all = append(all, f.events(fmt.Sprint(i+1))...)
		}
		return all
	}
	before := look()
	do()
	time.Sleep(10 * time.Second)
	if after := look(); !slices.Equal(before, after) {
		f.t.Errorf("the log of runs was\n\t%s\nand is now\n\t%s", strings.Join(before, "\n\t"), strings.Join(after, "\n\t"))
	}
}

// answers are what Muster has said to a person where nobody or everybody else sees it: alone,
// directly, in threads and in modals.
func (f *fort) answers(user string) []string {
	var all []string
	add := func(m slackfake.Message) {
		if m.Bot {
			all = append(all, slackfake.Plain(m))
		}
	}
	for _, m := range f.fake.Ephemerals(user) {
		add(m)
	}
	for _, m := range f.fake.Messages(user) {
		add(m)
	}
	for _, place := range []string{f.channel, f.other} {
		for _, m := range f.fake.Messages(place) {
			if m.ThreadTS != "" && m.ThreadTS != m.TS && m.Metadata != nil && strings.HasPrefix(fmt.Sprint(m.Metadata.Payload["key"]), "answer/") {
				add(m)
			}
		}
	}
	for _, v := range f.fake.Views(user) {
		all = append(all, v.Plain())
	}
	return all
}

// sees waits until a person has an answer more that has all of the words.
func (f *fort) sees(user string, do func(), words ...string) string {
	f.t.Helper()
	before := make(map[string]int)
	for _, a := range f.answers(user) {
		before[a]++
	}
	do()
	var fresh []string
	for range 600 {
		fresh = nil
		seen := make(map[string]int)
		for _, a := range f.answers(user) {
			if seen[a]++; seen[a] > before[a] {
				fresh = append(fresh, a)
			}
		}
		for _, a := range fresh {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(a, w) }) {
				return a
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	f.t.Errorf("%s never saw an answer with %q, but:\n%s", user, words, strings.Join(fresh, "\n--\n"))
	return ""
}

// request waits for the request of a run in the channel.
func (f *fort) request(run string) slackfake.Message { return f.posted("request/" + run + "/") }

func (f *fort) posted(key string) slackfake.Message {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	m, err := f.fake.WaitMessage(ctx, f.channel, func(m slackfake.Message) bool {
		return m.Metadata != nil && strings.HasPrefix(fmt.Sprint(m.Metadata.Payload["key"]), key) && len(m.Buttons()) > 0
	})
	if err != nil {
		f.t.Fatalf("nothing was posted under %q: %v\n%s", key, err, f.log)
	}
	return m
}

// started begins a release as cleo and returns its request.
func (f *fort) started(line string) slackfake.Message {
	f.t.Helper()
	n := f.runs()
	f.slash("UCLEO", line)
	for range 100 {
		if f.runs() > n {
			return f.request(fmt.Sprint(n + 1))
		}
		time.Sleep(100 * time.Millisecond)
	}
	f.t.Fatalf("%q started nothing: %q", line, f.answers("UCLEO"))
	return slackfake.Message{}
}

func (f *fort) slash(user, line string) {
	f.t.Helper()
	d, err := f.fake.Slash(user, f.channel, line)
	f.taken(d, err)
}

func (f *fort) taken(d slackfake.Delivery, err error) {
	f.t.Helper()
	if err != nil || !d.Acked {
		f.t.Fatalf("that was not acknowledged: %+v, %v", d, err)
	}
}

// modal is the ID of the modal that somebody gets.
func (f *fort) modal(user string, do func()) string {
	f.t.Helper()
	before := len(f.fake.Views(user))
	do()
	for range 100 {
		if views := f.fake.Views(user); len(views) == before+1 {
			return views[before].ID
		}
		time.Sleep(100 * time.Millisecond)
	}
	f.t.Fatalf("%s never got a modal", user)
	return ""
}

func (f *fort) heard(_ slackfake.Message, d slackfake.Delivery, err error) {
	f.t.Helper()
	f.taken(d, err)
}

// press is what pressing a button delivers.
func (f *fort) press(user string, m slackfake.Message, button string) slackfake.Object {
	f.t.Helper()
	p, err := f.fake.PressPayload(user, m.Channel, m.TS, button)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fort) deliver(kind slackfake.Kind, p slackfake.Object) {
	f.t.Helper()
	f.taken(f.fake.Deliver(kind, p), nil)
}

func (f *fort) checkLog() {
	f.t.Helper()
	log := f.log.String()
	for _, secret := range []string{f.fake.BotToken(), f.fake.AppToken(), f.fake.SigningSecret(), "/actions/" + slackfake.TeamID, "/commands/" + slackfake.TeamID, "ticket="} {
		if i := strings.Index(log, secret); i >= 0 {
			f.t.Errorf("a secret was logged: …%s…", log[max(0, i-200):min(len(log), i+len(secret)+20)])
		}
	}
	if strings.Contains(log, "panic") {
		f.t.Errorf("something went wrong inside:\n%s", log)
	}
}

// fortMarkup is markup that Muster never writes itself: it rings, names somebody whom the catalog
// does not know, or links.
var fortMarkup = regexp.MustCompile(`<![^d][^>]*>|<@UMALLORY[|>]|<#|<https?://elsewhere`)

// checkMarkup looks at all that was posted, as Slack got it.
func (f *fort) checkMarkup() {
	f.t.Helper()
	var look func(where string, v any)
	look = func(where string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if text, ok := v["text"].(string); ok && v["type"] == "mrkdwn" {
				if bad := fortMarkup.FindString(text); bad != "" {
					f.t.Errorf("%s has the markup %q in %q", where, bad, text)
				}
			}
			switch v["type"] {
			case "broadcast", "usergroup", "channel":
				f.t.Errorf("%s rings: %v", where, v)
			case "user":
				if v["user_id"] == "UMALLORY" {
					f.t.Errorf("%s mentions somebody whom the catalog does not know", where)
				}
			}
			for _, inner := range v {
				look(where, inner)
			}
		case []any:
			for _, inner := range v {
				look(where, inner)
			}
		}
	}
	message := func(m slackfake.Message) {
		if !m.Bot {
			return
		}
		if bad := fortMarkup.FindString(m.Text); bad != "" {
			f.t.Errorf("the text of a message has the markup %q: %q", bad, m.Text)
		}
		look("message "+m.TS, fortJSON(f.t, m.Blocks))
		look("message "+m.TS, fortJSON(f.t, m.Attachments))
	}
	for _, c := range f.fake.Channels() {
		for _, m := range f.fake.Messages(c.ID) {
			message(m)
		}
	}
	for _, u := range f.fake.Users() {
		for _, m := range f.fake.Ephemerals(u.ID) {
			message(m)
		}
		for _, v := range f.fake.Views(u.ID) {
			look("view "+v.ID, fortJSON(f.t, v.Object))
		}
	}
}

func fortJSON(t *testing.T, v any) (plain any) {
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &plain)
	}
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// What Slack did not sign a moment ago is refused, and has no effect.
func TestSlackSignatures(t *testing.T) {
	inFortBy(t, "http", func(t *testing.T, f *fort) {
		request := f.started("release cart to production")
		forged := func(name string, status int, change func(*slackfake.Request)) {
			for _, how := range []struct {
				kind    slackfake.Kind
				payload slackfake.Object
			}{
				{slackfake.Interactive, f.press("UANN", request, "Approve")},
				{slackfake.Commands, f.slashed("UANN", "approve 1")},
			} {
				f.nothing(func() {
					answers := len(f.answers("UANN"))
					r := f.fake.Sign(how.kind, how.payload, time.Now())
					change(&r)
					d, err := f.fake.Send(r)
					if err != nil || d.Status != status {
						t.Errorf("%s, %s: status %d, error %v; want %d", how.kind, name, d.Status, err, status)
					}
					if strings.Contains(d.Ack, "{") || len(d.Ack) > 100 {
						t.Errorf("%s, %s: the answer is %q", how.kind, name, d.Ack)
					}
					time.Sleep(10 * time.Second)
					if got := len(f.answers("UANN")); got != answers {
						t.Errorf("%s, %s: Muster answered", how.kind, name)
					}
				})
			}
		}
		at := func(age time.Duration) func(*slackfake.Request) {
			return func(r *slackfake.Request) {
				r.Timestamp = fmt.Sprint(time.Now().Add(-age).Unix())
				r.Signature = slackfake.Signature(f.fake.SigningSecret(), r.Timestamp, r.Body)
			}
		}
		forged("too old", 401, at(5*time.Minute+2*time.Second))
		forged("from the future", 401, at(-5*time.Minute-2*time.Second))
		forged("with another time than it was signed at", 401, func(r *slackfake.Request) { r.Timestamp = fmt.Sprint(time.Now().Add(-time.Second).Unix()) })
		forged("without a time", 401, func(r *slackfake.Request) { r.Timestamp = "" })
		forged("with nonsense for a time", 401, func(r *slackfake.Request) {
			r.Timestamp = "1e9"
			r.Signature = slackfake.Signature(f.fake.SigningSecret(), r.Timestamp, r.Body)
		})
		forged("without a signature", 401, func(r *slackfake.Request) { r.Signature = "" })
		forged("signed with another secret", 401, func(r *slackfake.Request) {
			r.Signature = slackfake.Signature("not the secret", r.Timestamp, r.Body)
		})
		forged("signed with no secret", 401, func(r *slackfake.Request) { r.Signature = slackfake.Signature("", r.Timestamp, r.Body) })
		forged("of another version", 401, func(r *slackfake.Request) { r.Signature = "v1" + r.Signature[2:] })
		forged("with another body", 401, func(r *slackfake.Request) { r.Body = append(r.Body, ' ') })
		forged("in the name of another", 401, func(r *slackfake.Request) {
			body := strings.ReplaceAll(string(r.Body), "UANN", "UBOB")
			if body == string(r.Body) {
				t.Fatal("there is nobody in it")
			}
			r.Body = []byte(body)
		})
		forged("too large", 413, func(r *slackfake.Request) {
			r.Body = append(r.Body, []byte("&more="+strings.Repeat("x", 1<<20))...)
			r.Signature = slackfake.Signature(f.fake.SigningSecret(), r.Timestamp, r.Body)
		})
		if err := f.fake.VerifyURL(); err != nil {
			t.Error(err) // and what is signed comes in
		}
	})
}

func (f *fort) slashed(user, line string) slackfake.Object {
	f.t.Helper()
	p, err := f.fake.SlashPayload(user, f.channel, line)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// Without a signing secret there is no way in over HTTP at all.
func TestSlackWithoutASecret(t *testing.T) {
	inFortBy(t, "closed", func(t *testing.T, f *fort) {
		f.nothing(func() {
			for _, secret := range []string{f.fake.SigningSecret(), ""} {
				r := f.fake.Sign(slackfake.Commands, f.slashed("UCLEO", "release cart to production"), time.Now())
				r.Signature = slackfake.Signature(secret, r.Timestamp, r.Body)
				if d, err := f.fake.Send(r); err != nil || d.Acked {
					t.Errorf("a command got in: %+v, %v", d, err)
				}
			}
		})
		if n := f.runs(); n != 0 {
			t.Errorf("%d runs have begun", n)
		}
	})
}

// What is recorded and sent again is acknowledged like the first, and known.
func TestSlackReplay(t *testing.T) {
	inFortBy(t, "http", func(t *testing.T, f *fort) {
		again := func(r slackfake.Request, status int) {
			t.Helper()
			if d, err := f.fake.Send(r); err != nil || d.Status != status {
				t.Errorf("status %d, error %v, want %d", d.Status, err, status)
			}
			time.Sleep(5 * time.Second)
		}
		release := f.fake.Sign(slackfake.Commands, f.slashed("UCLEO", "release cart to production"), time.Now())
		f.sees("UCLEO", func() { again(release, 200) }, "Run 1")
		f.nothing(func() { again(release, 200); again(release, 200) })
		request := f.request("1")
		approve := f.fake.Sign(slackfake.Interactive, f.press("UANN", request, "Approve"), time.Now())
		f.sees("UANN", func() { again(approve, 200) }, "Ann approved run 1")
		f.nothing(func() { again(approve, 200) })
		f.sees("UANN", func() { f.slash("UANN", "unapprove 1") }, "took")
		f.nothing(func() { again(approve, 200) }) // it does not bring back what was taken back
		time.Sleep(5 * time.Minute)
		f.nothing(func() { again(release, 401); again(approve, 401) })
		if n := f.runs(); n != 1 {
			t.Errorf("%d runs have begun, want 1", n)
		}
		want := []string{"cleo created", "ann approved", "ann unapproved"}
		if got := f.events("1"); !slices.Equal(got, want) {
			t.Errorf("the log has %q, want %q", got, want)
		}
		for user, most := range map[string]int{"UCLEO": 1, "UANN": 2} {
			if n := len(f.fake.Ephemerals(user)); n != most {
				t.Errorf("%s got %d answers, want %d: %q", user, n, most, f.answers(user))
			}
		}
	})
	inFortBy(t, "socket", func(t *testing.T, f *fort) {
		p := f.slashed("UCLEO", "release cart to production")
		f.sees("UCLEO", func() { f.deliver(slackfake.Commands, p) }, "Run 1")
		f.nothing(func() { f.deliver(slackfake.Commands, p) })
		press := f.press("UANN", f.request("1"), "Approve")
		f.sees("UANN", func() { f.deliver(slackfake.Interactive, press) }, "Ann approved run 1")
		f.nothing(func() { f.deliver(slackfake.Interactive, press) })
	})
}

// Who may not answer gets told why, whatever they try, and it counts for nothing.
func TestSlackStrangers(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		request := f.started("release cart to production")
		for _, who := range []struct{ user, why string }{
			{"UDAN", "dan"},                   // without rights
			{"UMALLORY", "I do not know you"}, // and in the user group of those who approve
			{"UGONE", "deactivated"},
			{"UROBOT", "bots"},
			{"UFOREIGN", "another workspace"},
			{"UGUEST", "guest"},
			{"UTWIN", "several people"},
			{"UCLEO", "cleo"}, // asked for the release
		} {
			words := []string{who.why}
			if strings.ToUpper("u"+who.why) == who.user {
				words = []string{"No: "}
			}
			f.nothing(func() {
				// The fake lets not everybody press and type, so they do it at ann's: hers is the response URL.
				f.sees("UANN", func() { f.deliver(slackfake.Interactive, as(who.user, f.press("UANN", request, "Approve"))) }, words...)
				f.sees("UANN", func() { f.deliver(slackfake.Commands, as(who.user, f.slashed("UANN", "approve 1"))) }, words...)
				if who.user == "UGONE" {
					return // cannot say anything
				}
				f.sees(who.user, func() { f.heard(f.fake.Say(who.user, f.channel, request.TS, "@muster approve")) }, words...)
			})
		}
	})
}

// as is a payload that somebody else caused.
func as(user string, p slackfake.Object) slackfake.Object {
	if _, command := p["user_id"]; command {
		p["user_id"] = user
	} else {
		p["user"] = slackfake.Object{"id": user, "username": user, "name": user, "team_id": slackfake.TeamID}
	}
	return p
}

// A payload says who did it. Whose message the button is on changes nothing about that.
func TestSlackOthersMessages(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		request := f.started("release cart to production")
		time.Sleep(5 * time.Second)
		anns := slices.DeleteFunc(f.fake.Messages("UANN"), func(m slackfake.Message) bool { return len(m.Buttons()) == 0 })
		if len(anns) != 1 {
			t.Fatalf("ann has %d requests", len(anns))
		}
		stolen := as("UDAN", f.press("UANN", anns[0], "Approve"))
		f.nothing(func() { f.sees("UANN", func() { f.deliver(slackfake.Interactive, stolen) }, "No: ") })

		// The modal of one, sent by another.
		modal := f.modal("UANN", func() { f.deliver(slackfake.Interactive, f.press("UANN", request, "Reject")) })
		sent, err := f.fake.SubmitPayload("UANN", modal, map[string][]string{"words": {"no good"}})
		if err != nil {
			t.Fatal(err)
		}
		f.nothing(func() { f.sees("UANN", func() { f.deliver(slackfake.Interactive, as("UDAN", sent)) }, "No: ") })

		// Nobody at all.
		f.nothing(func() { f.deliver(slackfake.Interactive, as("", f.press("UANN", request, "Approve"))) })
		f.nothing(func() { f.deliver(slackfake.Commands, as("", f.slashed("UANN", "approve 1"))) })
	})
}

// A button is the line that it holds, wherever it is pressed, and counts for the run and the
// plan in that line alone.
func TestSlackButtonsElsewhere(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		first := f.started("release cart to production")
		second := f.started("release redis to production")
		moved := func(user string) slackfake.Object {
			p := f.press(user, first, "Approve")
			p["channel"] = slackfake.Object{"id": f.other, "name": "random"}
			p["container"] = slackfake.Object{"type": "message", "message_ts": second.TS, "channel_id": f.other, "is_ephemeral": false}
			p["message"] = slackfake.Object{"type": "message", "ts": second.TS, "user": slackfake.BotUser}
			return p
		}
		f.nothing(func() { f.sees("UDAN", func() { f.deliver(slackfake.Interactive, moved("UDAN")) }, "No: ") })
		f.nothing(func() { f.sees("UCLEO", func() { f.deliver(slackfake.Interactive, moved("UCLEO")) }, "No: ") })

		// The plan of one run is no answer to the other.
		swapped := f.press("UANN", first, "Approve")
		action := swapped["actions"].([]any)[0].(slackfake.Object)
		action["value"] = strings.Replace(action["value"].(string), "approve 1 ", "approve 2 ", 1)
		f.nothing(func() { f.sees("UANN", func() { f.deliver(slackfake.Interactive, swapped) }, "answer was not counted") })

		f.sees("UANN", func() { f.deliver(slackfake.Interactive, moved("UANN")) }, "Ann approved run 1")
		if got := f.events("2"); !slices.Equal(got, []string{"cleo created"}) {
			t.Errorf("the log of the other run has %q", got)
		}
	})
}

// Who left the user group before they pressed has no say any more, and who came has.
func TestSlackLeftTheGroup(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		request := f.started("release cart to production")
		press := f.press("UEVE", request, "Approve")
		f.fake.SetUserGroup(f.qa, "UDAN")
		time.Sleep(4 * time.Minute)
		f.nothing(func() { f.sees("UEVE", func() { f.deliver(slackfake.Interactive, press) }, "No: ") })
		f.sees("UDAN", func() { f.deliver(slackfake.Interactive, f.press("UDAN", request, "Approve")) }, "Dan approved run 1")

		// A group that is taken away has nobody.
		second := f.started("release redis to production")
		f.fake.SetUserGroup(f.qa)
		time.Sleep(4 * time.Minute)
		f.nothing(func() {
			f.sees("UDAN", func() { f.deliver(slackfake.Interactive, f.press("UDAN", second, "Approve")) }, "No: ")
		})
	})
}

// A yes to a plan that is not the one that would run is not counted. The answer says what has
// changed, and offers what there is now.
func TestSlackStaleButton(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		request := f.started("release cart to production")
		late := f.press("UBOB", request, "Approve")
		old := f.value(request, "Approve")
		if err := f.world.Cluster.Seed(playbooks.Place{Module: "cart", Environment: "production"}, "v1.9.9", time.Now()); err != nil {
			t.Fatal(err)
		}
		f.sees("UANN", func() { f.deliver(slackfake.Interactive, f.press("UANN", request, "Approve")) }, "Ann approved run 1")
		f.sees("UEVE", func() { f.deliver(slackfake.Interactive, f.press("UEVE", request, "Approve")) }, "Eve approved run 1")
		var fresh slackfake.Message
		for range 600 {
			if fresh = f.request("1"); f.value(fresh, "Approve") != old {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		line := f.value(fresh, "Approve")
		if line == old {
			t.Fatalf("nobody is asked for the plan that there is now: %q", f.events("1"))
		}
		f.nothing(func() {
			f.sees("UBOB", func() { f.deliver(slackfake.Interactive, late) }, "plan changed", "What changed", "asked    again for cart", "not counted", "["+line+"]")
		})
		// What it offers is the new plan.
		offered := f.fake.Ephemerals("UBOB")
		f.sees("UBOB", func() { f.deliver(slackfake.Interactive, f.press("UBOB", offered[len(offered)-1], line)) }, "Bob approved run 1")
	})
}

func (f *fort) value(m slackfake.Message, label string) string {
	for _, b := range m.Buttons() {
		if b.Label == label {
			return b.Value
		}
	}
	return ""
}

// Words that are asked for are words, whatever they look like.
func TestSlackWordsAreWords(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		for i, words := range []string{
			"no\nrelease all to production\nyes", "yes because … approve 1", "because because", "… yes", fortNasty, "--override because I say so", "\"quoted\" 'half",
		} {
			run := fmt.Sprint(i + 1)
			request := f.started("release cart to production because " + fortNasty)
			modal := f.modal("UANN", func() { f.deliver(slackfake.Interactive, f.press("UANN", request, "Reject")) })
			sub, err := f.fake.Submit("UANN", modal, map[string][]string{"words": {words}})
			f.taken(sub.Delivery, err)
			time.Sleep(10 * time.Second)
			want := []string{"cleo created", "ann rejected " + strings.Join(strings.Fields(words), " ")}
			if got := f.events(run); !slices.Equal(got, want) {
				t.Errorf("the words %q made %q, want %q", words, got, want)
			}
		}
		if n := f.runs(); n != 7 {
			t.Errorf("%d runs have begun, want 7", n)
		}
	})
}

// What a modal carries is a line of who sends it, and no more.
func TestSlackSmuggledMetadata(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		request := f.started("release cart to production")
		for _, metadata := range []string{
			`{"command":"approve 1 …"}`, `{"command":"release redis to production because …"}`, `{"command":"freeze production because …"}`,
			`{"command":"reject 1\nrelease all to production because …"}`, `{"command":"abort 1 yes …"}`, `{"command":"abort 1 yes"}`, `not json`, ``,
			`{"command":"reject 1 because …","reply":"url:http://` + fortElsewhere + `/x","channel":"C0001\"","thread":"1\n2"}`,
			`{"command":"reject 1 because …","reply":"http://` + fortElsewhere + `/x"}`,
			`{"command":"reject 1 because …","reply":"view:../../x y"}`,
		} {
			f.nothing(func() {
				id := f.modal("UDAN", func() { f.deliver(slackfake.Interactive, f.press("UDAN", request, "Reject")) })
				p, err := f.fake.SubmitPayload("UDAN", id, map[string][]string{"words": {"no"}})
				if err != nil {
					t.Fatal(err)
				}
				p["view"].(slackfake.Object)["private_metadata"] = metadata
				f.deliver(slackfake.Interactive, p)
				time.Sleep(5 * time.Second)
				if _, open := f.fake.View(id); open {
					if _, err := f.fake.CloseView("UDAN", id); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
		f.nothing(func() {
			f.sees("UDAN", func() {
				p := f.press("UDAN", request, "Reject")
				action := p["actions"].([]any)[0].(slackfake.Object)
				action["action_id"], action["value"] = "do:0", "reject 1 because <!channel>"
				f.deliver(slackfake.Interactive, p)
			}, "No: ")
		})
	})
}

// An answer goes to Slack, whatever a payload says; the person gets it all the same.
func TestSlackResponseURLElsewhere(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		f.started("release cart to production")
		for _, address := range []string{
			"http://" + fortElsewhere + "/x", "http://" + slackfake.Host + "@" + fortElsewhere + "/x", "http://" + slackfake.Host + "." + fortElsewhere + "/x",
			"https://hooks.slack.com@" + fortElsewhere + "/x", "https://hooks.slack.com:x@" + fortElsewhere, "https://hooks.slack.com." + fortElsewhere + "/x", "//" + fortElsewhere + "/x",
			"http://" + slackfake.Host + "\\@" + fortElsewhere, "http://" + fortElsewhere + "#" + slackfake.Host, "file:///etc/passwd", "javascript:alert(1)", strings.Repeat("x", 5000),
		} {
			said := func() int { return len(f.fake.Messages("UDAN")) + len(f.fake.Messages(f.channel)) }
			before := said()
			p := f.slashed("UDAN", "status 1")
			p["response_url"] = address
			f.nothing(func() { f.deliver(slackfake.Commands, p) })
			if said() == before {
				t.Errorf("response URL %.60q: nobody saw the answer", address)
			}
		}
	})
}

// Nothing of others is markup where it is shown.
func TestSlackPingsNobody(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		f.mu.Lock()
		f.deploys = nastyRefusal{errors.New(fortNasty + "\n" + fortNasty)}
		f.mu.Unlock()
		f.slash("UANN", "plan all to staging because "+fortNasty)
		f.sees("UANN", func() { f.slash("UANN", "release all to staging because "+fortNasty) }, "Run 1")
		time.Sleep(time.Minute)
		for _, line := range []string{"status 1", "why 1", "history", fortNasty, "release " + fortNasty + " to production", "who " + fortNasty, "freeze staging because " + fortNasty, "help " + fortNasty} {
			if _, d, err := f.fake.Say("UANN", "", "", line); err != nil || !d.Acked {
				t.Fatalf("%q: %+v, %v", line, d, err)
			}
			f.slash("UANN", line)
			time.Sleep(10 * time.Second)
		}
		// The search of the form, and what is wrong with it.
		modal := f.modal("UANN", func() { f.slash("UANN", "release") })
		options, _, err := f.fake.Suggest("UANN", modal, "modules", "`<!cha")
		if err != nil || len(options) != 1 {
			t.Fatalf("found %v, %v", options, err)
		}
		sub, err := f.fake.Submit("UANN", modal, map[string][]string{"modules": {options[0].Value}, "environment": {"production"}, "why": {fortNasty}})
		f.taken(sub.Delivery, err)
		time.Sleep(10 * time.Second)
		seen := strings.Join(f.answers("UANN"), "\n")
		if !strings.Contains(seen, "*mod*") || !strings.Contains(seen, "!channel") {
			t.Errorf("what was to be shown is not there:\n%s", seen)
		}
	})
}

type nastyRefusal struct{ error }

func (nastyRefusal) Permanent() bool { return true }

// Whatever goes wrong between Muster and Slack, what is said about it holds no secret.
func TestSlackTroubleTellsNoSecrets(t *testing.T) {
	inFort(t, func(t *testing.T, f *fort) {
		f.started("release cart to production")
		kinds := []slackfake.FaultKind{slackfake.ServerError, slackfake.Refused, slackfake.Lost, slackfake.Limited, slackfake.Fails, slackfake.Hang}
		for _, kind := range kinds {
			f.fake.SetFault(func(slackfake.Call) slackfake.Fault { return slackfake.Fault{Kind: kind, Error: "invalid_auth"} })
			f.slash("UDAN", "status 1")
			f.slash("UDAN", "release")
			time.Sleep(time.Minute)
			f.fake.SetFault(nil)
		}
		f.fake.DropConnections(2)
		f.fake.SetDown(true)
		time.Sleep(time.Minute)
		f.fake.SetDown(false)
		time.Sleep(2 * time.Minute)
		f.slash("UDAN", "status 1")
		f.fake.Revoke()
		time.Sleep(time.Minute)
		if !strings.Contains(f.log.String(), "invalid_auth") && !strings.Contains(f.log.String(), "token_revoked") {
			t.Errorf("nobody was told what is wrong:\n%s", f.log)
		}
		if _, err := url.Parse(f.fake.APIURL()); err != nil {
			t.Fatal(err)
		}
	})
}

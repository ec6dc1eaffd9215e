package bot_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack"
	"github.com/muster-release/muster/integrations/slack/slackfake"
	"github.com/muster-release/muster/playbooks"
)

// TestConversationsInSlack plays every conversation in Slack, by both ways in. Muster has to
// decide and answer the same as in the embedded chat, and each answer has to arrive once.
func TestConversationsInSlack(t *testing.T) {
	files, err := filepath.Glob("testdata/conversations/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, way := range []string{"socket", "http"} {
		for _, file := range files {
			t.Run(way+"/"+strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				archive, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				catalog := inSlack(catalogOf(t, archive))
				for _, f := range archive.Files {
					if f.Name != "conversation" {
						continue
					}
					synctest.Test(t, func(t *testing.T) {
						r := newClosedRoom(t, catalog)
						v := newSlackVenue(t, r, way)
						r.start()
						defer v.close()
						defer r.stop()
						time.Sleep(2 * time.Second) // what follows a start is slower
						got := r.play(string(f.Data))
						time.Sleep(5 * time.Minute) // whatever is still to be said
						v.checkArrivals()
						got, want := comparable(got), comparable(string(f.Data))
						if strings.Contains(want, "\n* restart") || strings.Contains(want, " thread ") {
							// In one channel, or just after a start, an answer may have to wait for its turn.
							got, want = sortedLines(got), sortedLines(want)
						}
						if got != want {
							t.Errorf("in Slack the conversation is\n%s\nwant\n%s", got, want)
							if dir := os.Getenv("MUSTER_TEST_OUT"); dir != "" {
								_ = os.WriteFile(filepath.Join(dir, "got"), []byte(got), 0o644)
								_ = os.WriteFile(filepath.Join(dir, "want"), []byte(want), 0o644)
							}
						}
					})
				}
			})
		}
	}
}

// inSlack gives everybody an account in Slack instead of one in the embedded chat.
func inSlack(c *playbooks.Catalog) *playbooks.Catalog {
	moved := *c
	moved.People = nil
	for _, p := range c.People {
		if handle := p.Handles["chat"]; handle != "" {
			p.Handles = map[string]string{"slack": account(strings.TrimPrefix(handle, "@"))}
		}
		moved.People = append(moved.People, p)
	}
	return &moved
}

func account(name string) string { return "U" + strings.ToUpper(name) }

var (
	whence   = regexp.MustCompile(`(?m)^muster[^>]*> `)
	until    = regexp.MustCompile(`until 00:0\d:\d\d\b`)
	took     = regexp.MustCompile(`after \d+s\b`)
	stranger = regexp.MustCompile(`(?m)^muster> ✗ No: I do not know you[^\n]*(\n {10}[^\n]*)*`)
	slackNo  = regexp.MustCompile(`(?m)^muster> ✗ No: [^\n]*(\n {10}[^\n]*)*rule: known-people-only[^\n]*`)
)

// comparable leaves out where an answer stands, which differs between chats, and how
// somebody is told that nobody knows them.
func comparable(s string) string {
	s = until.ReplaceAllString(s, "until then")
	s = took.ReplaceAllString(s, "after a while") // the announcement waits for its turn
	s = whence.ReplaceAllString(s, "muster> ")
	s = slackNo.ReplaceAllString(s, "muster> I do not know you.")
	s = stranger.ReplaceAllString(s, "muster> I do not know you.")
	return s
}

func sortedLines(s string) string {
	return strings.Join(slices.Sorted(strings.Lines(s)), "")
}

// slackVenue is a Slack workspace, on a network of its own.
type slackVenue struct {
	t       testing.TB
	room    *room
	way     string
	network *slackfake.Network
	fake    *slackfake.Workspace
	channel map[string]string // name → ID
	last    func() error      // delivers the last event again
	lines   int
	adapter *slack.Workspace

	mu      sync.Mutex
	how     string // what happens to answers
	said    []chat.Message
	known   map[string]bool
	told    int
	private map[string]bool // keys of answers for one person alone
}

const appHost = "app.test"

func newSlackVenue(t testing.TB, r *room, way string) *slackVenue {
	network := slackfake.NewNetwork()
	fake, err := slackfake.New(slackfake.Options{Network: network})
	if err != nil {
		t.Fatal(err)
	}
	v := &slackVenue{
		t: t, room: r, way: way, network: network, fake: fake,
		channel: make(map[string]string), known: make(map[string]bool), private: make(map[string]bool),
	}
	people := map[string]bool{"mallory": true}
	for _, p := range r.catalog.People {
		if id := p.Handles["slack"]; id != "" {
			people[strings.ToLower(strings.TrimPrefix(id, "U"))] = true
		}
	}
	for name := range people {
		fake.AddUser(slackfake.User{ID: account(name), Name: name, RealName: name})
	}
	v.place(mainChannel)
	if way == "http" {
		fake.DeliverHTTP("http://" + appHost)
	}
	r.venue = v
	return v
}

// place returns the ID of a channel, in which everybody is.
func (v *slackVenue) place(name string) string {
	if v.channel[name] == "" {
		members := []string{slackfake.BotUser}
		for _, u := range v.fake.Users() {
			if !u.Bot {
				members = append(members, u.ID)
			}
		}
		v.channel[name] = v.fake.AddChannel(slackfake.Channel{Name: strings.TrimPrefix(name, "#"), Members: members})
	}
	return v.channel[name]
}

func (v *slackVenue) close() {
	if err := v.fake.Close(); err != nil {
		v.t.Error(err)
	}
}

func (v *slackVenue) system() string { return slack.System }

func (v *slackVenue) open(people func() []playbooks.Person) (chat.Poster, chat.Directory) {
	o := slack.Options{
		BotToken: v.fake.BotToken(), APIURL: v.fake.APIURL(), People: people, HTTP: v.network.Client(), Log: slog.New(slog.NewTextHandler(v.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if v.way == "http" {
		o.SigningSecret = v.fake.SigningSecret()
	} else {
		o.AppToken = v.fake.AppToken()
	}
	v.adapter = slack.New(o)
	return &overheard{v.adapter, v}, v.adapter
}

func (v *slackVenue) serve(ctx context.Context, b *bot.Bot) {
	if v.way == "socket" {
		if err := v.adapter.Listen(ctx, b); err != nil {
			v.t.Errorf("Listen says %v", err)
		}
		return
	}
	l, err := v.network.Listen(appHost)
	if err != nil {
		v.t.Error(err)
		return
	}
	server := &http.Server{Handler: v.adapter.Handler(b)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	<-ctx.Done()
	_ = server.Close()
	serving.Wait()
}

// say alternates between mentions and slash commands; in threads there are no slash commands.
func (v *slackVenue) say(person, channel, thread, text string) {
	v.t.Helper()
	v.lines++
	v.mu.Lock()
	how := v.how
	v.mu.Unlock()
	user, place := account(person), v.place(channel)
	if thread == "" && channel == mainChannel {
		// Slack takes one message a second in a channel, and the people of a script type
		// faster: each line gets a channel of its own.
		place = v.place(fmt.Sprintf("#talk-%d", v.lines))
	}
	if thread == "" && v.lines%2 == 0 && how == "" && !strings.ContainsAny(text, "\x1b") {
		payload, err := v.fake.SlashPayload(user, place, text)
		if err != nil {
			v.t.Fatal(err)
		}
		v.deliver(func() slackfake.Delivery { return v.fake.Deliver(slackfake.Commands, payload) })
		return
	}
	_, d, err := v.fake.Say(user, place, thread, "@muster "+text)
	if err != nil || !d.Acked {
		v.t.Fatalf("%s says %q: %+v, %v", person, text, d, err)
	}
	v.last = func() error {
		d, err := v.fake.Redeliver()
		if err == nil && !d.Acked {
			err = errors.New(d.Error)
		}
		return err
	}
}

func (v *slackVenue) deliver(attempt func() slackfake.Delivery) {
	v.t.Helper()
	try := func() error {
		if d := attempt(); !d.Acked {
			return fmt.Errorf("%s %s was not acknowledged: %s", d.Kind, d.ID, d.Error)
		}
		return nil
	}
	if err := try(); err != nil {
		v.t.Fatal(err)
	}
	v.last = try
}

func (v *slackVenue) redeliver() {
	v.t.Helper()
	if err := v.last(); err != nil {
		v.t.Fatal(err)
	}
}

// press presses the newest button that somebody sees and that stands for a line.
func (v *slackVenue) press(person, line string) {
	v.t.Helper()
	user := account(person)
	for range 100 {
		if v.pressNow(user, line) {
			return
		}
		time.Sleep(100 * time.Millisecond) // it appears when it is its turn
	}
	v.t.Fatalf("%s sees no button %q", person, line)
}

func (v *slackVenue) pressNow(user, line string) bool {
	v.t.Helper()
	var seen []slackfake.Message
	for _, c := range v.fake.Channels() {
		if c.IM == "" || c.IM == user {
			seen = append(seen, v.fake.Messages(c.ID)...)
		}
	}
	seen = append(seen, v.fake.Ephemerals(user)...)
	for i := len(seen) - 1; i >= 0; i-- {
		payload, err := v.fake.PressPayload(user, seen[i].Channel, seen[i].TS, line)
		if err == nil {
			v.deliver(func() slackfake.Delivery { return v.fake.Deliver(slackfake.Interactive, payload) })
			return true
		}
	}
	return false
}

// board finds the message of a run's board.
func (v *slackVenue) board(run string) string {
	v.t.Helper()
	for _, m := range v.fake.Messages(v.place(mainChannel)) {
		if m.Metadata != nil && m.Metadata.Payload["key"] == "board/"+run {
			return m.TS
		}
	}
	v.t.Fatalf("run %s has no board", run)
	return ""
}

func (v *slackVenue) fault(how string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.how = how
}

func (v *slackVenue) answers() []chat.Message {
	v.mu.Lock()
	defer v.mu.Unlock()
	fresh := v.said[v.told:]
	v.told = len(v.said)
	return fresh
}

// checkArrivals makes sure that every answer can be read in Slack, and once.
func (v *slackVenue) checkArrivals() {
	v.t.Helper()
	public := make(map[string]int)
	for _, c := range v.fake.Channels() {
		for _, m := range v.fake.Messages(c.ID) {
			if m.Metadata == nil {
				continue
			}
			if key, _ := m.Metadata.Payload["key"].(string); strings.HasPrefix(key, "answer/") {
				public[key]++
			}
		}
	}
	private := 0
	for _, u := range v.fake.Users() {
		for _, m := range v.fake.Ephemerals(u.ID) {
			if m.Bot {
				private++
			}
		}
	}
	for _, m := range v.said {
		if v.private[m.Key] {
			private--
			continue
		}
		if n := public[m.Key]; n != 1 {
			v.t.Errorf("answer %s arrived %d times: %s", m.Key, n, m.Card.Text)
		}
	}
	if private != 0 {
		v.t.Errorf("%d private answers too many arrived", private)
	}
	if n := v.fake.Limits(); n > 0 {
		v.t.Errorf("Slack refused %d calls because there were too many", n)
	}
}

// overheard is the adapter, and remembers with what Muster answers.
type overheard struct {
	*slack.Workspace
	v *slackVenue
}

func (o *overheard) Post(ctx context.Context, m chat.Message) (chat.Handle, error) {
	if !strings.HasPrefix(m.Key, "answer/") {
		return o.Workspace.Post(ctx, m)
	}
	v := o.v
	v.mu.Lock()
	how := v.how
	if how == "stuck" {
		v.mu.Unlock()
		<-ctx.Done()
		return chat.Handle{}, context.Cause(ctx)
	}
	if !v.known[m.Key] {
		v.known[m.Key] = true
		v.said = append(v.said, m)
	}
	v.private[m.Key] = m.Reply != ""
	if how == "lost" {
		v.how = ""
	}
	v.mu.Unlock()
	h, err := o.Workspace.Post(ctx, m)
	if how == "lost" && err == nil {
		return chat.Handle{}, errors.New("the connection broke")
	}
	return h, err
}

package bot_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
)

// A conversation is a txtar file. Its comment says what it is about, the file
// "conversation" is the conversation:
//
//	ann> plan all to production     a person types a line, in #releases
//	ann #ops> status                … in another channel
//	ann thread 1> why               … in the thread of the board of run 1
//	ann presses release $plan1      a person presses the newest button with that line
//	+30s                            time passes
//	* restart                       what happens to Muster or to the world, see happen
//	muster> …                       what Muster answers; written by -update
//
// Digests of plans are called $plan1, $plan2 and so on. The file "catalog.yaml"
// replaces the one that all conversations share.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/conversations/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			catalog := catalogOf(t, archive)
			at := -1
			for i := range archive.Files {
				if archive.Files[i].Name == "conversation" {
					at = i
				}
			}
			if at < 0 {
				t.Fatal("there is no conversation in it")
			}
			want := string(archive.Files[at].Data)
			var got string
			synctest.Test(t, func(t *testing.T) {
				r := newRoom(t, catalog)
				got = r.play(want)
			})
			if *update {
				archive.Files[at].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("the conversation went\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func catalogOf(t testing.TB, archive *txtar.Archive) *playbooks.Catalog {
	t.Helper()
	path := filepath.Join("testdata", "conversations", "catalog.yaml")
	for _, f := range archive.Files {
		if f.Name == "catalog.yaml" {
			path = filepath.Join(t.TempDir(), f.Name)
			if err := os.WriteFile(path, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	config, err := configs.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return config.Catalog
}

// room is a chat with Muster in it, and the embedded world around them. It lives
// in a synctest bubble. Restart is what a restart of the program is.
type room struct {
	t       testing.TB
	world   *local.World
	catalog *playbooks.Catalog
	store   *mem.Store

	engine    *engine.Engine
	reporters *bot.Reporters
	bot       *bot.Bot
	end       func()
	venue     venue // where people talk; the world's chat if it is nil

	mu        sync.Mutex
	intercept func(context.Context, local.Call) error

	told  int               // messages of the chat that were looked at
	heard string            // ID of the last event that was delivered
	last  chat.Event        // that event
	plans map[string]string // digest → its name in the conversation
	out   strings.Builder
}

const mainChannel = "#releases"

func newClosedRoom(t testing.TB, catalog *playbooks.Catalog) *room {
	r := &room{t: t, catalog: catalog, store: mem.New(mem.Options{}), plans: make(map[string]string)}
	world, err := local.Open("", local.Options{
		Takes: func(steps.Order) time.Duration { return 2 * time.Second },
		Intercept: func(ctx context.Context, c local.Call) error {
			r.mu.Lock()
			intercept := r.intercept
			r.mu.Unlock()
			if intercept == nil {
				return nil
			}
			return intercept(ctx, c)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.world = world
	for _, build := range []playbooks.BuildState{
		{Module: "cart", Version: "v1.9.0"},
		{Module: "cart", Version: "v2.0.0"},
		{Module: "ledger", Version: "v1.9.0", Commit: "3fa2c1d4e5f60718293a4b5c6d7e8f9001122334", Ref: "main", At: time.Now().Add(-time.Hour),
			Tests: "212 passed, 1 skipped", Coverage: 81.25, Digest: "sha256:0f343b0931126a20f133d67c2b018a3b1b5e6b3a4e1c0b6d3c2e1f0a9b8c7d6e"},
	} {
		build.State = playbooks.BuildPassed
		if err := world.Forge.SetBuild(build); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// venue is another chat than the world's, for the same conversations.
type venue interface {
	system() string
	// open is the side of the chat that a new process of Muster gets.
	open(people func() []playbooks.Person) (chat.Poster, chat.Directory)
	// serve hands what people do to a bot until ctx ends.
	serve(ctx context.Context, b *bot.Bot)
	say(person, channel, thread, text string)
	press(person, line string)
	board(run string) (thread string)
	redeliver()
	fault(kind string) // "stuck", "lost" or "" for none
	// answers are the cards with which Muster answered since the last time.
	answers() []chat.Message
}

func newRoom(t testing.TB, catalog *playbooks.Catalog) *room {
	r := newClosedRoom(t, catalog)
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *room) start() {
	r.t.Helper()
	logs := store.NewLogs(r.store)
	var poster chat.Poster = r.world.Chat
	var people chat.Directory
	system := "chat"
	if r.venue != nil {
		system = r.venue.system()
		poster, people = r.venue.open(func() []playbooks.Person { return r.catalog.People })
	}
	ports := steps.Ports{
		Deployers: map[string]steps.Deployer{"": r.world.Cluster},
		Jobs:      map[string]steps.Runner{"": r.world.Forge},
		Notify:    bot.NewNotifier(poster, logs, func(string) []string { return []string{mainChannel} }),
		Catalog:   func() *playbooks.Catalog { return r.engine.Policy().Catalog() },
	}
	var reporters atomic.Pointer[bot.Reporters]
	e, err := engine.Open(context.Background(), engine.Options{
		Logs: logs, Runners: ports.Runners(), Facts: ports.Facts(r.world.Forge), Policy: playbooks.NewPolicy(r.catalog),
		Changed: func(run string) {
			if r := reporters.Load(); r != nil {
				r.Changed(run)
			}
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.engine = e
	r.reporters = bot.NewReporters(bot.ReporterOptions{Engine: e, Logs: logs, Chat: poster, System: system, People: people, Zone: time.UTC})
	reporters.Store(r.reporters)
	r.bot = bot.New(bot.Options{
		Engine: e, Logs: logs, Chat: poster, System: system, People: people, Threads: r.reporters, Builds: r.world.Forge, Zone: time.UTC,
		Reload: func(context.Context) (string, error) {
			return "", errors.New("muster.yaml:3: there is no group \"lead\"")
		},
	})
	e.Resume()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{r.reporters.Run, r.bot.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, mem.ErrCrashed) {
				r.t.Errorf("Run says %v", err)
			}
		})
	}
	if r.venue != nil {
		running.Go(func() { r.venue.serve(ctx, r.bot) })
	}
	r.end = func() {
		cancel()
		running.Wait()
		e.Stop()
	}
}

func (r *room) stop() {
	r.store.Crash()
	r.end()
}

// restart kills Muster and starts it again on what it had kept.
func (r *room) restart() {
	r.t.Helper()
	r.stop()
	r.store = r.store.Reopen()
	r.setIntercept(nil)
	if r.venue != nil {
		r.venue.fault("")
	}
	r.start()
}

func (r *room) setIntercept(fn func(context.Context, local.Call) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.intercept = fn
}

// say writes a line as a person and delivers it, and whatever else was said.
func (r *room) say(person, channel, thread, text string) {
	r.t.Helper()
	if r.venue != nil {
		r.venue.say(person, channel, thread, text)
		return
	}
	if _, err := r.world.Chat.Say("@"+person, channel, thread, text); err != nil {
		r.t.Fatal(err)
	}
	r.deliver()
}

func (r *room) deliver() {
	r.t.Helper()
	events, err := r.world.Chat.Events(r.heard)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range events {
		if err := r.bot.Receive(r.t.Context(), e); err != nil {
			r.t.Errorf("Receive %q: %v", e.Text, err)
		}
		r.heard, r.last = e.ID, e
	}
}

// press presses the newest button that stands for a line.
func (r *room) press(person, line string) {
	r.t.Helper()
	if r.venue != nil {
		r.venue.press(person, line)
		return
	}
	messages := r.world.Chat.Messages("")
	for i := len(messages) - 1; i >= 0; i-- {
		for _, a := range messages[i].Card.Actions {
			if a.Command == line && !messages[i].Deleted {
				if _, err := r.world.Chat.Press("@"+person, messages[i].ID, line); err != nil {
					r.t.Fatal(err)
				}
				r.deliver()
				return
			}
		}
	}
	r.t.Fatalf("there is no button %q", line)
}

// threadOf finds the board of a run, under which its thread is.
func (r *room) threadOf(run string) string {
	r.t.Helper()
	if r.venue != nil {
		return r.venue.board(run)
	}
	for _, m := range r.world.Chat.Messages(mainChannel) {
		if about, ok := r.reporters.RunOf(r.t.Context(), m.Channel, m.ID); ok && about == run && m.Thread == "" {
			return m.ID
		}
	}
	r.t.Fatalf("run %s has no board", run)
	return ""
}

// answers returns Muster's answers since the last time.
func (r *room) answers() []local.Posted {
	var all []local.Posted
	messages := r.world.Chat.Messages("")
	for _, m := range messages[r.told:] {
		if strings.HasPrefix(m.Key, "answer/") {
			all = append(all, m)
		}
	}
	r.told = len(messages)
	return all
}

var (
	spoken  = regexp.MustCompile(`^(\w+)(?: (#\w+))?(?: thread (\d+))?> (.*)$`)
	pressed = regexp.MustCompile(`^(\w+) presses (.*)$`)
	digests = regexp.MustCompile(`\b(?:[0-9a-f]{64}|[0-9a-f]{8})\b`)
	// Idempotency keys begin with the random name of the installation.
	instance = regexp.MustCompile(`\b[0-9a-f]{12}\b`)
	names    = regexp.MustCompile(`\$plan\d+`)
)

// play goes through a conversation, and returns it with what Muster said.
func (r *room) play(script string) string {
	r.t.Helper()
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "muster") || strings.HasPrefix(line, " ") {
			continue
		}
		r.out.WriteString(line + "\n")
		typed := names.ReplaceAllStringFunc(line, func(name string) string {
			for digest, of := range r.plans {
				if of == name {
					return digest
				}
			}
			r.t.Fatalf("there is no %s yet", name)
			return ""
		})
		switch {
		case line == "" || line[0] == '#':
			continue
		case line[0] == '+':
			d, err := time.ParseDuration(line[1:])
			if err != nil {
				r.t.Fatal(err)
			}
			time.Sleep(d)
		case strings.HasPrefix(line, "* "):
			r.happen(line[2:])
		case pressed.MatchString(typed):
			m := pressed.FindStringSubmatch(typed)
			r.press(m[1], m[2])
		case spoken.MatchString(typed):
			m := spoken.FindStringSubmatch(typed)
			channel, thread := mainChannel, ""
			if m[2] != "" {
				channel = m[2]
			}
			if m[3] != "" {
				thread = r.threadOf(m[3])
			}
			r.say(m[1], channel, thread, strings.ReplaceAll(m[4], `\u001b`, "\x1b"))
		default:
			r.t.Fatalf("what does %q mean?", line)
		}
		synctest.Wait()
		if r.venue != nil {
			for _, m := range r.venue.answers() {
				r.show(local.Posted{Channel: mainChannel, Card: m.Card})
			}
			continue
		}
		for _, m := range r.answers() {
			r.show(m)
		}
	}
	return r.out.String()
}

func (r *room) show(m local.Posted) {
	who := "muster"
	if m.Channel != mainChannel {
		who += " " + m.Channel
	}
	if m.Thread != "" {
		who += " in thread"
	}
	drawn := instance.ReplaceAllString(local.Render(m.Card, 110, false), "INSTANCE")
	drawn = digests.ReplaceAllStringFunc(drawn, func(digest string) string {
		digest = digest[:8]
		if r.plans[digest] == "" {
			r.plans[digest] = fmt.Sprintf("$plan%d", len(r.plans)+1)
		}
		return r.plans[digest]
	})
	indent := "        "
	for line := range strings.Lines(drawn) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if who != "" {
			r.out.WriteString(who + "> " + line)
			who = ""
			continue
		}
		r.out.WriteString(strings.TrimRight(indent+line, " \n") + "\n")
	}
}

// happen is what a person in the room does not do.
func (r *room) happen(what string) {
	r.t.Helper()
	word, rest, _ := strings.Cut(what, " ")
	switch word {
	case "restart":
		r.restart()
	case "redeliver":
		if r.venue != nil {
			r.venue.redeliver()
			return
		}
		if err := r.bot.Receive(r.t.Context(), r.last); err != nil {
			r.t.Fatal(err)
		}
	case "stuck", "lost":
		if r.venue != nil {
			r.venue.fault(word)
			return
		}
		r.breakAnswers(word)
	case "blind": // nobody can see any more what a module's deployment does
		r.world.Inject(local.Fault{Module: rest, Kind: local.Lost})
		r.setIntercept(func(_ context.Context, c local.Call) error {
			if c.System == "cluster" && c.Method != "Start" && strings.Contains(c.Key, "deploy:"+rest) {
				return context.DeadlineExceeded
			}
			return nil
		})
	case "fault":
		fault, err := local.ParseFault(rest)
		if err != nil {
			r.t.Fatal(err)
		}
		r.world.Inject(fault)
	case "heal":
		r.world.Heal(rest)
	default:
		r.t.Fatalf("what does %q mean?", what)
	}
}

// breakAnswers keeps answers from getting out until the restart, or loses the next one's
// acknowledgement: it gets out, and nobody learns of that.
func (r *room) breakAnswers(how string) {
	isAnswer := func(c local.Call) bool {
		return c.System == "chat" && c.Method == "Post" && strings.HasPrefix(c.Key, "answer/")
	}
	var once sync.Once
	r.setIntercept(func(ctx context.Context, c local.Call) (err error) {
		switch {
		case how == "stuck" && isAnswer(c) && !c.After:
			<-ctx.Done()
		case how == "lost" && isAnswer(c) && c.After:
			once.Do(func() { err = errors.New("the connection broke") })
		}
		return err
	})
}

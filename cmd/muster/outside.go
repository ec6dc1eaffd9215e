package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/builds"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/bot/intake"
	"github.com/muster-release/muster/bot/trains"
	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/alertmanager"
	"github.com/muster-release/muster/integrations/gitlab"
	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/pagerduty"
	"github.com/muster-release/muster/integrations/registry"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/playbooks/steps"
)

// outside are the systems that are configured, besides the chat. Each is nil where it
// is not.
type outside struct {
	gitlab   *gitlab.GitLab
	jira     *jira.Jira
	pager    *pagerduty.PagerDuty
	registry *registry.Registry
	alerts   *alertmanager.Alertmanager

	// builds is what was registered; nil: nothing is registered, for there is no forge.
	builds *builds.Registry
	// describe says what a playbook brings; nil: nobody knows.
	describe func(context.Context, *playbooks.Catalog, *playbooks.Playbook)
	// comments are the bots that answer below merge requests and issues, by system.
	comments map[string]*commenting
}

// commenting is a bot whose chat are the pages of a system.
type commenting struct {
	bot *bot.Bot
	// receive takes a line that somebody wrote there.
	receive func(context.Context, chat.Event) error
}

// openOutside opens what the configuration names. It calls nobody yet. What the adapters ask of
// Muster they ask the app later, when it is complete.
func (a *app) openOutside(s *configs.Server) error {
	if s == nil {
		return nil
	}
	out := &a.outside
	people := func() []playbooks.Person { return a.catalog().People }
	if c := s.GitLab; c != nil {
		out.builds = builds.New(a.logs)
		out.builds.Spare(a.liveVersions)
		o := gitlabOptions(c, a.catalog, a.o.HTTP, a.o.Log)
		o.Branches, o.Build, o.Live, o.VersionOf = a.branches, out.builds.Build, a.live, out.builds.VersionOf
		g, err := gitlab.New(o)
		if err != nil {
			return fmt.Errorf("server: gitlab: %w", err)
		}
		out.gitlab = g
	}
	if c := s.Jira; c != nil {
		o := jiraOptions(c, a.catalog, a.o.HTTP, a.o.Log)
		o.Instance, o.Changes = a.instance, a.changes
		j, err := jira.New(o)
		if err != nil {
			return fmt.Errorf("server: jira: %w", err)
		}
		out.jira = j
	}
	if c := s.PagerDuty; c != nil {
		out.pager = pagerduty.New(pagerdutyOptions(c, people, a.o.HTTP, a.o.Log))
		if c.Token.Reveal() != "" {
			a.rolls.systems[pagerduty.System] = out.pager.Members
		}
	}
	if c := s.Alertmanager; c != nil {
		d, err := alertmanager.New(alertmanager.Options{User: c.User, Password: c.Password.Reveal(), Token: c.Token.Reveal(), Log: a.o.Log})
		if err != nil {
			return fmt.Errorf("server: alertmanager: %w", err)
		}
		out.alerts = d
	}
	if len(s.Registries) > 0 {
		o := registryOptions(s.Registries, a.catalog, a.o.HTTP, a.o.Log)
		if out.builds != nil {
			o.VersionOf = out.builds.VersionOfImage
		}
		out.registry = registry.New(o)
	}
	if out.gitlab != nil {
		var stories steps.Storyteller
		if out.jira != nil {
			stories = out.jira
		}
		out.describe = steps.Describe(out.gitlab, stories, out.builds)
	}
	return nil
}

func gitlabOptions(c *configs.GitLab, catalog func() *playbooks.Catalog, client *http.Client, log *slog.Logger) gitlab.Options {
	return gitlab.Options{
		URL: c.URL, Token: c.Token.Reveal(), WebhookSecret: c.WebhookSecret.Reveal(), SigningSecrets: secrets(c.SigningSecret),
		BuildReport: c.BuildReport, Record: c.Record, Catalog: catalog, HTTP: client, Log: log,
	}
}

func jiraOptions(c *configs.Jira, catalog func() *playbooks.Catalog, client *http.Client, log *slog.Logger) jira.Options {
	return jira.Options{
		URL: c.URL, Email: c.Email, Token: c.Token.Reveal(), WebhookSecret: c.WebhookSecret.Reveal(),
		Project: c.Project, IssueType: c.IssueType, Labels: c.Labels, Fields: c.Fields, Transitions: c.Transitions, TransitionFields: c.TransitionFields,
		FixVersion: c.FixVersion, LinkType: c.LinkType, Edits: c.Edits, IndexLag: c.IndexLag,
		ApproveStatus: c.Approve, RejectStatus: c.Reject, StoryProjects: c.StoryProjects, Catalog: catalog, HTTP: client, Log: log,
	}
}

func pagerdutyOptions(c *configs.PagerDuty, people func() []playbooks.Person, client *http.Client, log *slog.Logger) pagerduty.Options {
	return pagerduty.Options{
		RoutingKey: c.RoutingKey.Reveal(), Token: c.Token.Reveal(), EventsURL: c.EventsURL, APIURL: c.APIURL, People: people, HTTP: client, Log: log,
	}
}

func registryOptions(c []configs.Registry, catalog func() *playbooks.Catalog, client *http.Client, log *slog.Logger) registry.Options {
	o := registry.Options{Catalog: catalog, Log: log}
	for _, r := range c {
		o.Registries = append(o.Registries, registry.Login{Host: r.Host, User: r.User, Password: r.Password.Reveal()})
	}
	if client != nil {
		o.Transport = client.Transport
	}
	return o
}

// secrets is a list of the secret, or an empty one where there is none.
func secrets(s configs.Secret) []string {
	if s.Reveal() == "" {
		return nil
	}
	return []string{s.Reveal()}
}

// equip gives the engine the ports that the outside systems serve.
func (out *outside) equip(ports *steps.Ports) {
	if g := out.gitlab; g != nil {
		ports.Deployers["gitlab"] = g.Deployer()
		ports.Jobs["gitlab"] = g.Jobs()
		ports.Tags = g.Tagger()
		if ports.Deployers[""] == nil {
			ports.Deployers[""], ports.Jobs[""] = ports.Deployers["gitlab"], ports.Jobs["gitlab"]
		}
		for kind, gate := range g.Gates() {
			ports.Gates[kind] = gate
		}
	}
	if j := out.jira; j != nil {
		for kind, gate := range j.Gates() {
			ports.Gates[kind] = gate
		}
	}
	if r := out.registry; r != nil {
		ports.Deployers["registry"] = r
		ports.Jobs["registry"] = r
	}
}

// report gives the reporters what the outside systems show.
func (out *outside) report(o *bot.ReporterOptions, s *configs.Server) {
	if out.jira != nil {
		o.Tracker = out.jira
	}
	if out.gitlab != nil {
		o.Forge = out.gitlab
	}
	if out.describe != nil {
		o.Describe = out.describe
	}
	if out.pager != nil {
		o.Pager, o.PageAfter = out.pager, s.PagerDuty.After
	}
}

// live is the version of a module in an environment, at the first place where it is.
func (a *app) live(ctx context.Context, environment, module string) (string, error) {
	c := a.catalog()
	env, m := c.Environment(environment), c.Module(module)
	if env == nil || m == nil {
		return "", fmt.Errorf("there is no module %q or no environment %q", module, environment)
	}
	to := a.ports.Deployers[m.In(environment).Deployer]
	if to == nil {
		return "", fmt.Errorf("no deployer is configured that knows what is live of %q", module)
	}
	for _, place := range c.Places(env, m) {
		live, err := to.Live(ctx, place)
		if err != nil || live.Version != "" {
			return live.Version, err
		}
	}
	return "", nil
}

// liveVersions are the versions of a module that Muster knows to be live anywhere.
func (a *app) liveVersions(ctx context.Context, module string) ([]string, error) {
	var versions []string
	for _, env := range a.catalog().Environments {
		err := a.engine.Environment(ctx, env.Name, func(state *playbooks.EnvironmentState) {
			for place, live := range state.Live {
				if place.Module == module && live.Version != "" {
					versions = append(versions, live.Version)
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return versions, nil
}

// changes says what a version of a module brings that is not live in an environment.
func (a *app) changes(ctx context.Context, environment, module, version string) (playbooks.Changes, error) {
	if a.outside.describe == nil {
		return playbooks.Changes{}, errors.New("no forge is configured that knows what is new")
	}
	live, err := a.live(ctx, environment, module)
	if err != nil {
		return playbooks.Changes{}, err
	}
	pb := &playbooks.Playbook{Modules: []playbooks.PlannedModule{{Name: module, Version: version, From: []playbooks.From{{Version: live}}}}}
	a.outside.describe(ctx, a.catalog(), pb)
	c := pb.Modules[0].Changes
	switch {
	case c == nil:
		return playbooks.Changes{}, fmt.Errorf("module %q has no source, so nobody knows what is new", module)
	case c.Unknown != "":
		return *c, errors.New(c.Unknown)
	}
	return *c, nil
}

// branches are those that rules about pushes name.
func (a *app) branches() []string {
	var names []string
	for _, r := range a.catalog().Rules {
		if r.Source != gitlab.System {
			continue
		}
		for name := range strings.SplitSeq(r.Where["branch"], "|") {
			// Which branches a pattern means is found out by their deliveries alone.
			if name != "" && !strings.ContainsAny(name, "*!") && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// openIntake opens what takes events, and the bots that answer comments.
func (a *app) openIntake(ctx context.Context) error {
	out := &a.outside
	if out.gitlab == nil && out.jira == nil && out.alerts == nil {
		return nil
	}
	sources := make(map[string]intake.Source)
	out.comments = make(map[string]*commenting)
	o := intake.Options{
		Logs: a.logs, Policy: a.engine.Policy, Execute: a.bot.Execute, Started: a.engine.StartedBy, Runs: a.openRuns,
		Settled: a.settled, Chat: a.poster, Builds: out.builds, Signal: a.engine.LookNow, Sources: sources, Channels: a.talk.channels, Log: a.o.Log,
	}
	if out.builds == nil {
		o.Builds = builds.New(a.logs)
	}
	if g := out.gitlab; g != nil {
		sources[gitlab.System] = intake.Source{Origin: g, Builds: g.Builds}
		previews := a.comment(gitlab.System, g.Discussions(), g)
		o.Preview = previews.Changed
	}
	if j := out.jira; j != nil {
		source := intake.Source{Origin: j}
		if s := a.o.Server.Jira; s.Approve != "" || s.Reject != "" {
			source.Moves = &intake.Moves{Approve: s.Approve, Reject: s.Reject, People: j, Self: j.Self, MoveBack: j.MoveBack}
		}
		sources[jira.System] = source
		a.comment(jira.System, j.Comments(), j)
	}
	in, err := intake.Open(ctx, o)
	if err != nil {
		return err
	}
	a.intake = in
	return nil
}

// comment lets a bot answer on the pages of a system.
func (a *app) comment(system string, poster chat.Poster, people chat.Directory) *intake.Previews {
	var b *bot.Bot
	previews := intake.NewPreviews(a.logs, system, signed{poster, a.instance}, func(ctx context.Context, e chat.Event) error { return b.Receive(ctx, e) })
	o := a.botOptions
	o.Chat, o.System, o.People, o.Threads, o.Here = previews, system, people, nil, a.here(system)
	b = bot.New(o)
	a.outside.comments[system] = &commenting{bot: b, receive: previews.Receive}
	return previews
}

// here says which modules a merge request or an issue is about: those of the project, with the
// version that was built of its newest commit if there is one, or those that its components name.
func (a *app) here(system string) func(context.Context, string) ([]playbooks.ModuleRef, error) {
	return func(ctx context.Context, channel string) ([]playbooks.ModuleRef, error) {
		var page events.Event
		var err error
		if system == jira.System {
			page, err = a.outside.jira.Page(ctx, channel)
		} else if project, number, found := strings.Cut(channel, "!"); found {
			hint := events.Event{Source: gitlab.System, Kind: events.MergeRequest, Subject: project, Fields: map[string]string{"project": project, "number": number}}
			page, _, err = a.outside.gitlab.Confirm(ctx, hint)
		}
		if err != nil {
			return nil, err
		}
		var refs []playbooks.ModuleRef
		for _, name := range a.intake.About(page) {
			ref := playbooks.ModuleRef{Name: name}
			if commit := page.Fields["commit"]; commit != "" {
				if ref.Version, err = a.outside.builds.VersionOf(ctx, name, commit); err != nil {
					return nil, err
				}
			}
			refs = append(refs, ref)
		}
		return refs, nil
	}
}

// Receive lets a comment's door hand over what was written.
func (c *commenting) Receive(ctx context.Context, e chat.Event) error { return c.receive(ctx, e) }

// openRuns lists the runs that are not over, as rules see them.
func (a *app) openRuns(ctx context.Context) ([]intake.Run, error) {
	var all []intake.Run
	for _, id := range a.engine.OpenRuns() {
		err := a.engine.View(ctx, id, func(v engine.View) error {
			r := v.Run
			run := intake.Run{ID: r.ID, Environment: r.Environment, Paused: r.Paused != nil, Back: r.RollingBack || r.WantsBack || r.Aborting != nil}
			for i := range r.Book.Modules {
				run.Modules = append(run.Modules, r.Book.Modules[i].Name)
			}
			if !r.Over() {
				all = append(all, run)
			}
			return nil
		})
		if err != nil && !errors.Is(err, engine.ErrNoRun) {
			return nil, err
		}
	}
	return all, nil
}

// settled reports whether a version of a module is live everywhere in an environment, or on its
// way there.
func (a *app) settled(ctx context.Context, environment, module, version string) (bool, error) {
	c := a.catalog()
	env, m := c.Environment(environment), c.Module(module)
	if env == nil || m == nil {
		return false, nil
	}
	found := true
	err := a.engine.Environment(ctx, environment, func(state *playbooks.EnvironmentState) {
		for _, place := range c.Places(env, m) {
			found = found && state.Live[place].Version == version
		}
	})
	for _, id := range a.engine.OpenRuns() {
		if found || err != nil {
			break
		}
		err = a.engine.View(ctx, id, func(v engine.View) error {
			r := v.Run
			if r.Environment == environment && !r.RollingBack && !r.WantsBack && r.Aborting == nil {
				planned := r.Book.Planned(module)
				found = planned != nil && planned.Version == version
			}
			return nil
		})
		if errors.Is(err, engine.ErrNoRun) {
			err = nil // it ended meanwhile
		}
	}
	return found, err
}

// outsideDoors are where the outside systems deliver.
func (a *app) outsideDoors(doors map[string]http.Handler) {
	if a.intake == nil {
		return
	}
	if g := a.outside.gitlab; g != nil {
		doors["/gitlab/"] = g.Handler(a.intake, a.outside.comments[gitlab.System])
	}
	if j := a.outside.jira; j != nil {
		doors["/jira/"] = j.Handler(a.intake, a.outside.comments[jira.System])
	}
	if d := a.outside.alerts; d != nil {
		doors["/alertmanager/"] = d.Handler(a.intake)
	}
}

// timetable asks the yard, which comes after the bot.
type timetable struct{ a *app }

func (t timetable) Trains(ctx context.Context) ([]bot.Train, error) { return t.a.yard.Trains(ctx) }

// openYard lets trains run, where the catalog may have some.
func (a *app) openYard() {
	o := trains.Options{
		Logs: a.logs, Policy: a.engine.Policy, Execute: a.bot.Execute, StartedBy: a.engine.StartedBy, Waits: bot.WaitsOf(a.engine),
		Live: a.live, Say: bot.NewPosts(a.logs, a.poster).Say, Channels: a.channels, Log: a.o.Log,
	}
	if a.builds != nil {
		o.Builds = a.builds
	}
	a.yard = trains.New(o)
}

package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
)

func planCommands() []command {
	return []command{{
		name: "plan", verb: playbooks.VerbView,
		does:     "show what a release would do; nothing is touched",
		usage:    []string{"plan MODULE[@VERSION]… to ENV [at TIME] [because REASON]", "plan all to ENV [at TIME] [because REASON]", "plan DIGEST"},
		examples: []string{"plan cart@v1.4.0 redis to production", "plan all to staging", "plan 4f2a91c0"},
		run:      (*call).plan,
	}, {
		name: "release", also: []string{"deploy"}, verb: playbooks.VerbRelease,
		does:     "start a release: a plan that was shown, or plan and start in one go",
		usage:    []string{"release DIGEST", "release MODULE[@VERSION]…|all to ENV [at TIME]", "release … override because REASON"},
		examples: []string{"release 4f2a91c0", "release cart to production", "release cart to production at 18:00", "release cart to production override because the fix for incident 12"},
		run:      (*call).release,
	}}
}

// request reads what is to be released: MODULE[@VERSION]…|all to ENV [at TIME].
func (c *call) request(ctx context.Context) (playbooks.Request, error) {
	var request playbooks.Request
	words, found := c.args.until("to")
	if !found || c.args.empty() {
		return request, c.misused("Where to? End with an environment: … to %s.", enumerate(c.environments(), 4, "or"))
	}
	env, err := c.environment(c.args.next())
	if err != nil {
		return request, err
	}
	if c.args.take("at") {
		if request.NotBefore, err = c.moment("When does it leave?"); err != nil {
			return request, err
		}
		if !request.NotBefore.After(c.now) {
			return request, c.misused("That is over already: say a time to come, or none to begin at once.")
		}
	}
	if err := c.noMore(); err != nil {
		return request, err
	}
	request.Environment, request.Reason = env.Name, c.phrase.why()
	for _, w := range words {
		w.text = strings.TrimSuffix(w.text, ",")
		switch {
		case w.text == "", w.is("and"):
		case w.is("all"):
			request.All = true
		default:
			name, version, _ := strings.Cut(w.text, "@")
			request.Modules = append(request.Modules, playbooks.ModuleRef{Name: name, Version: version})
		}
	}
	switch {
	case request.All && len(request.Modules) > 0:
		return request, c.misused("Either all, or some modules: not both.")
	case !request.All && len(request.Modules) == 0:
		return c.here(ctx, request)
	}
	return request, nil
}

// here completes a request that names no module by what its channel is about.
func (c *call) here(ctx context.Context, request playbooks.Request) (playbooks.Request, error) {
	if c.b.o.Here != nil && c.line.Channel != "" {
		var err error
		if request.Modules, err = c.b.o.Here(ctx, c.line.Channel); err != nil {
			return request, fmt.Errorf("what %s is about is not known just now: %w", c.line.Channel, err)
		}
	}
	if len(request.Modules) == 0 {
		return request, c.misused("Which modules? Name them, or say all.")
	}
	return request, nil
}

// mayAll reports whether the speaker may do verb to everything in a request.
// Modules that are not in the catalog are left to the planner, which knows better
// what was meant.
func (c *call) mayAll(verb playbooks.Verb, request playbooks.Request) error {
	var known []string
	for _, ref := range request.Modules {
		if c.policy.Catalog().Module(ref.Name) != nil {
			known = append(known, ref.Name)
		}
	}
	refusal := c.policy.May(c.line.By, verb, request.Environment, known...)
	if refusal != nil && len(known) == 0 && len(request.Modules) > 0 {
		refusal = c.maySeePlace(request.Environment)
	}
	if refusal != nil {
		return refusal
	}
	return nil
}

func (c *call) plan(ctx context.Context) (chat.Card, error) {
	if len(c.args.words) == 1 && isDigest(c.args.peek().text) {
		return c.keptPlan(ctx, c.args.next().text)
	}
	request, err := c.request(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	if err := c.mayAll(playbooks.VerbView, request); err != nil {
		return chat.Card{}, err
	}
	pb, err := c.b.o.Engine.Plan(ctx, request)
	if err != nil {
		return chat.Card{}, err
	}
	card := c.planCard(pb)
	card.Lasting = "plan/" + pb.Environment
	return card, nil
}

// keptPlan shows a plan that was made before. It offers no release: a run may be
// under way with it.
func (c *call) keptPlan(ctx context.Context, prefix string) (chat.Card, error) {
	pb, err := c.b.o.Engine.FindPlan(ctx, prefix)
	if err != nil {
		return chat.Card{}, err
	}
	if refusal := c.maySeePlace(pb.Environment, moduleNames(pb)...); refusal != nil && !c.isAsked(pb) {
		return chat.Card{}, refusal
	}
	card := c.planCard(pb)
	card.Text = strings.TrimSuffix(card.Text, " Nothing is touched yet.")
	card.Actions, card.Footer = nil, ""
	return card, nil
}

// planModules is how many modules a plan lists before it counts.
const planModules = 40

// planCard shows what a plan would do, and how to start it.
func (c *call) planCard(pb *playbooks.Playbook) chat.Card {
	digest := pb.Digest.Short()
	card := chat.Card{Text: fmt.Sprintf("Plan %s: %s to %s, %s, %s. Nothing is touched yet.", digest,
		countOf(len(pb.Modules), "module"), pb.Environment, countOf(len(pb.Waves), "wave"), countOf(len(pb.Steps), "step"))}
	if at := pb.Request.NotBefore; !at.IsZero() {
		card.Sections = append(card.Sections, chat.Section{Text: fmt.Sprintf("It leaves at %s, not earlier. People are asked at once.", at.In(c.now.Location()).Format("Mon 2 Jan 15:04 MST"))})
	}
	byName := make(map[string]*playbooks.PlannedModule, len(pb.Modules))
	for i := range pb.Modules {
		byName[pb.Modules[i].Name] = &pb.Modules[i]
	}
	left := planModules
	for i, wave := range pb.Waves {
		if left <= 0 {
			card.Sections = append(card.Sections, chat.Section{Text: fmt.Sprintf("… and %s more", countOf(len(pb.Waves)-i, "wave"))})
			break
		}
		section := chat.Section{Heading: fmt.Sprintf("Wave %d", i+1)}
		for _, name := range wave {
			section.Items = append(section.Items, chat.Item{Symbol: chat.SymbolPending, Text: name, Detail: moveAndNews(byName[name])})
		}
		section.Items = atMost(section.Items, left)
		left -= len(wave)
		card.Sections = append(card.Sections, section)
	}
	card.Sections = append(card.Sections, chat.Section{Heading: "Who is asked", Text: askedWords(pb)})
	card.Sections = append(card.Sections, configChanges(pb)...)
	card.Sections = append(card.Sections, warnings(pb)...)
	if text := leftOut(pb); text != "" {
		card.Sections = append(card.Sections, chat.Section{Heading: "Left out", Text: text})
	}
	env := c.policy.Environment(pb.Environment)
	switch {
	case env == nil || env.Approvals == nil:
		card.Footer = "It cannot be released before the configuration says who approves there."
	case hasWarning(pb, "frozen"):
		card.Footer = fmt.Sprintf("It is frozen. Who may override types: release %s override because REASON", digest)
	default:
		card.Actions = []chat.Action{{Label: "Release " + digest, Command: "release " + digest, Style: chat.Good}}
	}
	return card
}

func hasWarning(pb *playbooks.Playbook, code string) bool {
	for _, w := range pb.Warnings {
		if w.Code == code {
			return true
		}
	}
	return false
}

func askedWords(pb *playbooks.Playbook) string {
	if len(pb.Approvals) == 0 {
		return "Nobody."
	}
	var all []string
	for _, a := range pb.Approvals {
		text := sentence(ruleWords(a.Rules))
		if a.ExcludeRequester {
			text += ", not whoever releases"
		}
		all = append(all, text+".")
	}
	return strings.Join(all, "\n")
}

// leftOut says what `all` passed over and why, by cause.
func leftOut(pb *playbooks.Playbook) string {
	var order []string
	names := make(map[string][]string)
	for _, s := range pb.Skipped {
		if names[s.Cause] == nil {
			order = append(order, s.Cause)
		}
		names[s.Cause] = append(names[s.Cause], s.Module)
	}
	var lines []string
	for _, cause := range order {
		lines = append(lines, fmt.Sprintf("%s: %s.", sentence(strings.ReplaceAll(cause, "-", " ")), enumerate(names[cause], 6, "and")))
	}
	return strings.Join(lines, "\n")
}

func (c *call) release(ctx context.Context) (chat.Card, error) {
	override := c.args.takeLast("override")
	cmd := playbooks.Command{Kind: playbooks.CommandStart, Override: override, Reason: c.phrase.why()}
	if override && cmd.Reason == "" {
		return chat.Card{}, c.sayWhy("override a freeze")
	}
	if len(c.args.words) == 1 && isDigest(c.args.peek().text) {
		pb, err := c.b.o.Engine.FindPlan(ctx, c.args.next().text)
		if err != nil {
			return chat.Card{}, err
		}
		return c.start(ctx, cmd, pb)
	}
	request, err := c.request(ctx)
	if err != nil {
		return chat.Card{}, err
	}
	if err := c.mayAll(playbooks.VerbRelease, request); err != nil {
		return chat.Card{}, err
	}
	pb, err := c.b.o.Engine.Plan(ctx, request)
	if err != nil {
		return chat.Card{}, err
	}
	return c.start(ctx, cmd, pb)
}

// startedLately is how many runs back is looked for one that does the same.
const startedLately = 50

// start begins a run with a plan, unless one is under way with exactly that: pressed
// twice, or by two people at once, is meant once.
func (c *call) start(ctx context.Context, cmd playbooks.Command, pb *playbooks.Playbook) (chat.Card, error) {
	cmd.Digest = pb.Digest
	if run, err := c.b.o.Engine.StartedBy(ctx, c.line.Cause); run != "" || err != nil {
		if err != nil {
			return chat.Card{}, err
		}
		return c.carryOut(ctx, cmd) // it is this very delivery
	}
	runs, err := c.b.o.Engine.History(ctx, startedLately)
	if err != nil {
		return chat.Card{}, err
	}
	for _, s := range runs {
		if s.Digest == pb.Digest && s.Outcome == "" {
			return chat.Card{}, &playbooks.Refusal{
				Rule:    "once",
				Message: fmt.Sprintf("run %s releases exactly that already, begun by %s; nothing was started", s.Run, c.policy.Name(s.By)),
				Try:     []string{"status " + s.Run},
			}
		}
	}
	return c.carryOut(ctx, cmd)
}

// sayWhy asks for the reason that a line lacks.
func (c *call) sayWhy(to string) error {
	p := c.phrase
	p.words = slices.DeleteFunc(slices.Clone(p.words), func(w word) bool { return w.is(yes) })
	p.because, p.reason = true, "REASON"
	return &unclear{text: fmt.Sprintf("To %s, say why. Nothing was done.", to), try: []string{p.String()}}
}

// started says that a run has begun, and what it waits for.
func (c *call) started(v engine.View) string {
	r := v.Run
	if r.RollingBack {
		return fmt.Sprintf("Run %s takes back %s in %s.%s", r.ID, moduleMoves(r.Book.Playbook, 3), r.Environment, c.waits(v))
	}
	var modules []string
	for i := range r.Book.Modules {
		modules = append(modules, r.Book.Modules[i].Name+" "+r.Book.Modules[i].Version)
	}
	leaves := ""
	if at := r.Request.NotBefore; at.After(v.Now) {
		leaves = fmt.Sprintf(" It leaves at %s.", c.when(at))
	}
	return fmt.Sprintf("Run %s to %s has begun: %s.%s%s", r.ID, r.Environment, enumerate(modules, 3, "and"), leaves, c.waits(v))
}

// waits says, as a sentence to add, whose approval a run waits for.
func (c *call) waits(v engine.View) string {
	for _, a := range v.Run.OpenApprovals() {
		wanted := wantedNow(v, a)
		var words []string
		for i, rule := range wanted.missing {
			who := enumerate(wanted.names[i], 4, "or")
			if who == "" {
				who = "nobody in the catalog may"
			}
			words = append(words, fmt.Sprintf("%s (%s)", ruleWords([]playbooks.ApprovalRule{rule}), who))
		}
		if len(words) > 0 {
			return fmt.Sprintf(" It waits for %s.", enumerate(words, len(words), "and"))
		}
	}
	return ""
}

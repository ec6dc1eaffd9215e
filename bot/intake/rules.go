package intake

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// decision is what a fact leads to. It is written before anything follows from it, so that the
// same follows after a crash and after the rules have changed, and nothing a second time.
// Fields may be added.
type decision struct {
	At   time.Time       `json:"at"`
	Name string          `json:"name"`           // of the rule
	Rule *playbooks.Rule `json:"rule,omitempty"` // as it was then; nil: it is done
	// Card is what the channels are told, once that is known.
	Card *chat.Card `json:"card,omitempty"`
	Done time.Time  `json:"done,omitzero"`
}

// waiting is a fact that waits for a build. Fields may be added.
type waiting struct {
	Event events.Event `json:"event"`
	Since time.Time    `json:"since"`
	For   string       `json:"for"` // the build, in words
}

// worthTrying reports whether what was to be done since some time may still be tried. A new
// process has an hour to do what an earlier one has left.
func (in *Intake) worthTrying(since time.Time) bool {
	return time.Since(since) < tryFor || time.Since(in.opened) < time.Hour
}

const (
	// waitForBuild is how long is waited for the build of a commit.
	waitForBuild = 24 * time.Hour
	// tryFor is how long is tried to carry a line out, or to tell a channel.
	tryFor = 24 * time.Hour
)

// rules carries out the first rule that fits an event.
func (in *Intake) rules(ctx context.Context, e events.Event, modules []string) error {
	key := factPrefix + factKey(&e)
	if e.Fact != "" {
		defer in.facts.lock(key)()
	}
	var d decision
	decided := false
	if e.Fact != "" {
		var err error
		if decided, err = in.read(ctx, key, &d); err != nil {
			return err
		}
	}
	rule := d.Rule // none where everything was done
	if !decided {
		rule = match(in.o.Policy().Catalog().Rules, &e)
	}
	if rule == nil {
		return nil
	}
	log := in.o.Log.With("rule", rule.Name, "do", rule.Do, "source", e.Source, "fact", e.Fact)
	switch {
	case rule.Do == playbooks.RuleIgnore, e.Kind == events.Tag && e.Fields["deleted"] == "true":
		return nil
	case rule.Do == playbooks.RuleSignal:
		in.signal(rule, modules)
		return nil
	case e.Fact == "":
		log.Debug("nothing follows from an event that says nothing for certain")
		return nil
	case rule.Do == playbooks.RuleHold:
		return in.hold(ctx, rule, e, modules)
	case rule.Do != playbooks.RulePlan && rule.Do != playbooks.RuleRelease:
		log.Error("a rule says what is not known here")
		return nil
	}
	if !decided && time.Since(e.At) > keepDone {
		log.Warn("nothing follows from an event that is so old: nobody knows any more what it led to", "at", e.At)
		return nil
	}
	if !decided {
		d = decision{At: time.Now(), Name: rule.Name, Rule: rule}
		if err := in.keep(ctx, store.Set{Key: key, Value: encode(d)}); err != nil {
			return err
		}
	}
	r, err := in.choose(ctx, in.o.Policy().Catalog(), rule, &e)
	if err != nil {
		return err
	}
	if r.absent != "" {
		log.Info("a rule waits for a build", "build", r.absent)
		w := waiting{Event: e, Since: time.Now(), For: r.absent}
		if _, err := in.read(ctx, waitingPrefix+factKey(&e), &w); err != nil {
			return err
		}
		if err := in.keep(ctx, store.Set{Key: waitingPrefix + factKey(&e), Value: encode(w)}); err != nil {
			return err
		}
		token(in.recall) // it may have been registered meanwhile
		return nil
	}
	return in.act(ctx, d, e, r)
}

// match returns a copy of the first rule that fits an event, and nil when there is none.
func match(rules []playbooks.Rule, e *events.Event) *playbooks.Rule {
	i := slices.IndexFunc(rules, func(r playbooks.Rule) bool { return r.Matches(e.Source, string(e.Kind), e.Fields) })
	if i < 0 {
		return nil
	}
	rule := rules[i]
	return &rule
}

// signal lets what waits for a rule's modules look again. Where nobody can say which those are,
// everything looks.
func (in *Intake) signal(rule *playbooks.Rule, modules []string) {
	if len(rule.Modules) > 0 {
		modules = rule.Modules
	}
	if len(modules) == 0 {
		for _, m := range in.o.Policy().Catalog().Modules {
			modules = append(modules, m.Name)
		}
	}
	in.o.Signal(modules...)
}

// act plans or releases, tells the channels, and notes that it is done. The lock of the
// fact is held.
func (in *Intake) act(ctx context.Context, d decision, e events.Event, r refs) error {
	rule := d.Rule
	log := in.o.Log.With("rule", rule.Name, "do", rule.Do, "source", e.Source, "fact", e.Fact)
	key := factPrefix + factKey(&e)
	end := func(words string) error {
		log.Info(words)
		done := decision{At: d.At, Name: d.Name, Done: time.Now()}
		return in.keep(ctx, store.Set{Key: key, Value: encode(done)}, store.Set{Key: waitingPrefix + factKey(&e)})
	}
	if d.Card == nil && rule.Do == playbooks.RuleRelease {
		// Asked again it might be told that there is nothing left to release.
		run, err := in.o.Started(ctx, cause(rule, &e))
		if err != nil {
			return err
		}
		if run != "" {
			return end("a rule has started run " + run)
		}
	}
	if d.Card == nil {
		if r.odd != "" {
			log.Warn("an event is refused: what it names is no version", "version", cut(plain(r.odd), 60))
			return end("a rule did nothing: the version is none")
		}
		left, err := in.unsettled(ctx, rule.To, r.modules)
		if err != nil {
			return err
		}
		if len(left) == 0 && len(r.modules) > 0 {
			return end("a rule did nothing: all that it would release is there, or on its way")
		}
		what, ok := request(left, rule.To)
		if !ok {
			log.Warn("a rule does nothing: there is no module to name", "modules", r.modules)
			return end("a rule did nothing: the event is about no module that can be named")
		}
		answer := in.o.Execute(ctx, spoken(rule, &e, cause(rule, &e), fmt.Sprintf("%s %s because %s", rule.Do, what, reason(rule, &e))))
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !answer.Final() && in.worthTrying(d.At):
			return answer.Err
		case answer.Err == nil && rule.Do == playbooks.RuleRelease:
			return end("a rule has started a release") // whose reporters tell the channels
		}
		if answer.Err != nil {
			log.Warn("a rule was refused", "error", answer.Err)
		}
		card := introduced(answer.Card, because(rule, &e))
		d.Card = &card
		if err := in.keep(ctx, store.Set{Key: key, Value: encode(d)}); err != nil {
			return err
		}
	}
	if err := in.tell(ctx, in.channels(rule, rule.To), cause(rule, &e), *d.Card, d.At); err != nil {
		return err
	}
	return end("a rule was carried out")
}

// unsettled are the modules, with the versions that are meant, that are not where a rule wants them.
func (in *Intake) unsettled(ctx context.Context, environment string, modules []playbooks.ModuleRef) ([]playbooks.ModuleRef, error) {
	if in.o.Settled == nil {
		return modules, nil
	}
	var left []playbooks.ModuleRef
	for _, m := range modules {
		settled := false
		if m.Version != "" {
			var err error
			if settled, err = in.o.Settled(ctx, environment, m.Name, m.Version); err != nil {
				return nil, err
			}
		}
		if !settled {
			left = append(left, m)
		}
	}
	return left, nil
}

// introduced is an answer that nobody in the channel has asked for.
func introduced(card chat.Card, why string) chat.Card {
	card.Text = "By " + why + ". " + card.Text
	card.Lasting = ""
	return card
}

// channels are those that hear what a rule comes to.
func (in *Intake) channels(rule *playbooks.Rule, environment string) []string {
	if len(rule.Channels) > 0 {
		return rule.Channels
	}
	if env := in.o.Policy().Environment(environment); env != nil && len(env.Channels) > 0 {
		return env.Channels
	}
	return in.o.Channels
}

// tell says something in channels, once in each. A channel that refuses for good, or that
// took nothing for a day since something was to be said, is given up.
func (in *Intake) tell(ctx context.Context, channels []string, key string, card chat.Card, since time.Time) error {
	if len(channels) == 0 {
		in.o.Log.Warn("there is no channel to say something in", "key", key, "text", card.Text)
	}
	var failed error
	for _, channel := range channels {
		err := in.posts.Say(ctx, key, channel, card)
		switch {
		case err == nil:
		case isPermanent(err), !in.worthTrying(since):
			in.o.Log.Error("a channel could not be told, and that is given up", "channel", channel, "key", key, "text", card.Text, "error", err)
		default:
			failed = cmp.Or(failed, err)
		}
	}
	return failed
}

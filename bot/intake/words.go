package intake

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
	"github.com/muster-release/muster/playbooks"
)

// maxReason is how many letters of other systems go into a sentence.
const maxReason = 200

// plain makes a text of others fit into a sentence: one line, without marks of the chat,
// control characters and what turns the direction of writing.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(chat.Plain(s), "\uFFFD"))
	s = strings.Join(strings.Fields(s), " ")
	if letters := []rune(s); len(letters) > maxReason {
		s = string(letters[:maxReason-1]) + "…"
	}
	return s
}

// happened says what an event tells of: "tag v1.4.0 in payments/api by ann".
func happened(e *events.Event) string {
	f := func(name string) string { return plain(e.Fields[name]) }
	var what string
	switch e.Kind {
	case events.Push:
		what = fmt.Sprintf("push of %s to %s", cut(f("commit"), 8), f("branch"))
	case events.Tag, events.Release:
		what = fmt.Sprintf("%s %s", e.Kind, f("tag"))
	case events.MergeRequest:
		what = fmt.Sprintf("merge request %s (%s)", f("number"), f("action"))
	case events.Pipeline, events.Job, events.Deployment:
		what = fmt.Sprintf("%s %s of %s (%s)", e.Kind, f(string(e.Kind)), f("ref"), f("status"))
	case events.IssueMoved:
		what = fmt.Sprintf("%s moved to %s", f("issue"), f("to"))
	case events.IssueLabelled:
		what = fmt.Sprintf("%s labelled %s", f("issue"), f("label"))
	case events.VersionReleased:
		what = fmt.Sprintf("version %s of %s released", f("version"), f("project"))
	case events.AlertFiring, events.AlertResolved:
		state := "fires"
		if e.Kind == events.AlertResolved {
			state = "is resolved"
		}
		what = fmt.Sprintf("alert %s %s", f("alert"), state)
		if summary := f("summary"); summary != "" && e.Kind == events.AlertFiring {
			what += ": " + summary
		}
	default:
		what = fmt.Sprintf("%s of %s", plain(string(e.Kind)), plain(e.Subject))
	}
	if project := f("project"); project != "" && fromForge(e.Kind) {
		what += " in " + project
	}
	if from := plain(cmp.Or(e.By, e.From)); from != "" {
		what += " by " + from
	}
	return what
}

// keywords are the words of the grammar of a plan's line.
var keywords = []string{"to", "all", "and", "because", "override", "yes", "muster"}

// quoted is a name as one word of a line; false: there is no way to write it as one.
func quoted(name string) (string, bool) {
	if name == "" || name != plain(name) || strings.ContainsAny(name, "@\"") || strings.HasSuffix(name, ",") {
		return "", false
	}
	for _, word := range keywords {
		if strings.EqualFold(name, word) {
			return `"` + name + `"`, true
		}
	}
	if strings.ContainsAny(name, " '“‘") {
		return `"` + name + `"`, true
	}
	return name, true
}

// request is what a rule plans or releases, as part of a line: "cart@v1.4.0 to staging". False:
// there is no way to write it.
func request(modules []playbooks.ModuleRef, environment string) (string, bool) {
	words := make([]string, 0, len(modules)+2)
	for _, ref := range modules {
		word, ok := quoted(ref.Name)
		if !ok || ref.Version != "" && !isVersion(ref.Version) {
			return "", false
		}
		if ref.Version != "" {
			if at, ok := strings.CutSuffix(word, `"`); ok {
				word = at + "@" + ref.Version + `"`
			} else {
				word += "@" + ref.Version
			}
		}
		words = append(words, word)
	}
	env, ok := quoted(environment)
	return strings.Join(append(words, "to", env), " "), ok && len(modules) > 0
}

// spoken is a line that a rule says because of an event.
func spoken(rule *playbooks.Rule, e *events.Event, cause, text string) bot.Line {
	return bot.Line{By: rule.As, Via: e.Source, Rule: rule.Name, Cause: cause, Text: text}
}

// reason is why a rule asks for something. A run names the rule that started or paused it; one that a
// person starts from a plan has nothing but the plan's reason to name it.
func reason(rule *playbooks.Rule, e *events.Event) string {
	if rule.Do == playbooks.RulePlan {
		return because(rule, e)
	}
	return happened(e)
}

// because is why a rule says something.
func because(rule *playbooks.Rule, e *events.Event) string {
	return fmt.Sprintf("rule %s: %s", plain(rule.Name), happened(e))
}

// cause identifies what a rule does because of a fact.
func cause(rule *playbooks.Rule, e *events.Event) string { return "rule/" + rule.Name + "/" + e.Fact }

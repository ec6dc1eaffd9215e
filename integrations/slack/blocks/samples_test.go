package blocks_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/integrations/slack/blocks"
)

var noon = time.Date(2026, 11, 24, 14, 3, 27, 0, time.UTC)

// people knows Dev, Lea and Quinn's accounts, and no others.
func people(person string) string {
	return map[string]string{"dev": "U0DEV", "lea": "U0LEA", "quinn": "U0QUINN"}[person]
}

func clock(after time.Duration) string {
	at := noon.Add(after)
	return chat.At(at, chat.Clock, at.Format("15:04"))
}

func facts(more ...chat.Field) chat.Section {
	return chat.Section{Fields: append([]chat.Field{
		{Name: "asked by", Value: chat.Mention("dev", "Dev Dvorak")},
		{Name: "began", Value: chat.At(noon, chat.Dated, "24 Nov 14:03 UTC")},
	}, more...)}
}

func item(symbol chat.Symbol, text, detail string) chat.Item {
	return chat.Item{Symbol: symbol, Text: text, Detail: detail}
}

func running() chat.Card {
	modules := []string{"accounts", "api", "billing", "cart", "catalog", "checkout", "db", "mail", "queue", "search", "stock", "web"}
	states := []chat.Symbol{"done", "done", "done", "done", "running", "running", "waiting", "pending", "pending", "pending", "pending", "pending"}
	var waves []chat.Section
	for i, m := range modules {
		if i%4 == 0 {
			waves = append(waves, chat.Section{Heading: fmt.Sprintf("Wave %d", i/4+1)})
		}
		w := &waves[i/4]
		w.Items = append(w.Items, item(states[i], m, fmt.Sprintf("v1.%d.0 → v1.%d.0", i, i+1)))
	}
	return chat.Card{
		Text: "Release 41 → production: running, 4 of 12 changes", Title: "Release 41 → production: running",
		Progress: &chat.Progress{Done: 4, Total: 12, Label: "changes · about 2m 10s to go"},
		Sections: append([]chat.Section{
			facts(chat.Field{Name: "elapsed", Value: "1m 3s"}, chat.Field{Name: "plan", Value: "0123abcd"},
				chat.Field{Name: "issue", Value: "REL-41"}, chat.Field{Name: "because", Value: "spring sale"}),
			{Heading: "Now", Items: []chat.Item{
				item(chat.SymbolRunning, "deploy catalog v1.5.0", "1 of 3 replicas ready"),
				item(chat.SymbolRunning, "deploy checkout v1.6.0", "image is pulled"),
			}},
		}, waves...),
		Actions: []chat.Action{
			{Label: "Pause", Command: "pause 41"},
			{Label: "Roll back", Command: "rollback 41", Style: chat.Bad},
			{Label: "Abort", Command: "abort 41", Style: chat.Bad},
			{Label: "Why?", Command: "why 41"},
		},
	}
}

// large is a board of 200 modules in 30 waves.
func large() chat.Card {
	var items []chat.Item
	left := 200
	for wave := range 30 {
		size := 6 + (wave%4)/2
		if wave == 29 {
			size = left
		}
		left -= size
		states := [...]chat.Symbol{"done", "running", "waiting", "pending"}
		it := chat.Item{Text: fmt.Sprintf("Wave %d", wave+1)}
		done := 0
		for i := range size {
			s := states[min(3, (wave+i%2+i%3)/9)]
			if wave == 12 && i == 3 {
				s = chat.SymbolFailed
			}
			if s == chat.SymbolDone {
				done++
			}
			it.Row = append(it.Row, s)
		}
		it.Symbol = it.Row[size-1]
		it.Detail = fmt.Sprintf("%d of %d", done, size)
		items = append(items, it)
	}
	return chat.Card{
		Text: "Release 42 → production: running, 63 of 200 changes", Title: "Release 42 → production: running",
		Progress: &chat.Progress{Done: 63, Total: 200, Label: "changes · about 41m to go"},
		Sections: []chat.Section{
			facts(chat.Field{Name: "elapsed", Value: "18m"}, chat.Field{Name: "plan", Value: "89abcdef"}),
			{Heading: "Now", Items: []chat.Item{item("running", "deploy m10-03 v1.4.0", "2 of 6 replicas ready"), item("", "… and 7 more", "")}},
			{Heading: "200 modules", Items: items},
		},
		Actions: []chat.Action{{Label: "Pause", Command: "pause 42"}, {Label: "Abort", Command: "abort 42", Style: chat.Bad}, {Label: "Why?", Command: "why 42"}},
	}
}

const excerpt = `00:00:42.022 level=info msg="starting" version=v2.1.0
00:00:43.022 level=warn msg="no connection" peer=10.0.12.7:6379 try=1
00:00:44.022 level=warn msg="no connection" peer=10.0.12.7:6379 try=2
00:00:45.022 level=error msg="giving up" cause="dial tcp 10.0.12.7:6379: i/o timeout" conn=<nil>
00:00:46.022 exit status 1`

func failed() chat.Card {
	return chat.Card{
		Text:  "Release 1 → production: stopped, needs a decision, 1 of 3 changes. Deploy api v2.1.0 failed",
		Title: "Release 1 → production: stopped, needs a decision", Tone: chat.Bad,
		Progress: &chat.Progress{Done: 1, Total: 3, Label: "changes"},
		Sections: []chat.Section{
			facts(chat.Field{Name: "plan", Value: "0123abcd"}, chat.Field{Name: "issue", Value: "REL-1"}, chat.Field{Name: "because", Value: "spring sale"}),
			{Heading: "Deploy api v2.1.0 failed", Text: "v2.1.0: no progress, with 2 of 3 replicas ready; one container restarts again and again\n" +
				"Dev or Lea: retry 1 deploy:api | rollback 1 | abort 1\nOr, if you know better: skip 1 deploy:api because REASON (Dev or Lea)", Code: excerpt},
			{Heading: "One after the other", Items: []chat.Item{item("done", "db", "v1.0.0 → v1.1.0"), item("failed", "api", "v2.0.0 → v2.1.0"), item("pending", "web", "new → v3.1.0")}},
		},
		Actions: []chat.Action{
			{Label: "Retry", Command: "retry 1 deploy:api", Style: chat.Waiting},
			{Label: "Roll back", Command: "rollback 1", Style: chat.Bad},
			{Label: "Abort", Command: "abort 1", Style: chat.Bad},
			{Label: "Why?", Command: "why 1"},
		},
	}
}

func request() chat.Card {
	return chat.Card{
		Text:  "Approval needed: release 1 → production. Dev asks 1 of qa to agree: api v2.0.0 → v2.1.0. Type: approve 1 0123abcd",
		Title: "Approval needed: release 1 → production", Tone: chat.Waiting,
		Sections: []chat.Section{
			{Fields: []chat.Field{
				{Name: "asked by", Value: chat.Mention("dev", "Dev Dvorak") + " (may approve it, too)"},
				{Name: "asked at", Value: chat.At(noon, chat.Dated, "24 Nov 14:03 UTC")},
				{Name: "plan", Value: "0123abcd"}, {Name: "an answer holds for", Value: "1h"},
				{Name: "because", Value: "the spring sale begins on Monday, and the prices of last year must be gone from the start page by then; see <https://intranet/sale?year=26&lang=en>"},
			}},
			{Heading: "What happens", Items: []chat.Item{
				item("", "api", "v2.0.0 → v2.1.0, last changed "+clock(-3*time.Hour)),
				item("", "db", "v1.0.0 → v1.1.0"), item("", "web_front", "new → v3.1.0"),
			}},
			{Heading: "Before you say yes", Items: []chat.Item{item("waiting", "api was never live in staging", ""), item("waiting", "“fix *all* prices <!channel>” is not reviewed", "")}},
			{Heading: "Answers", Items: []chat.Item{
				item("done", chat.Mention("lea", "Lea")+" approved at "+clock(time.Minute), "counts until "+clock(time.Hour)),
				item("waiting", "1 of qa", chat.Mention("mute", "Mute")+" or "+chat.Mention("quinn", "Quinn")),
			}},
		},
		Actions: []chat.Action{
			{Label: "Approve", Command: "approve 1 0123abcd", Style: chat.Good, Confirm: "Approve release 1 to production, plan 0123abcd?"},
			{Label: "Reject", Command: "reject 1 0123abcd because …", Style: chat.Bad, Ask: "Why?"},
			{Label: "Show plan", Command: "plan 0123abcd"},
		},
	}
}

func answered() chat.Card {
	return chat.Card{
		Text:  "Rejected: release 1 → production. Quinn rejected it at 14:05: the tests of api are red",
		Title: "Rejected: release 1 → production", Tone: chat.Bad,
		Sections: []chat.Section{
			{Text: chat.Mention("quinn", "Quinn") + " rejected it at " + clock(2*time.Minute) + ": the tests of api are red."},
			{Fields: []chat.Field{{Name: "asked by", Value: chat.Mention("dev", "Dev Dvorak")}, {Name: "asked at", Value: chat.At(noon, chat.Dated, "24 Nov 14:03 UTC")}, {Name: "plan", Value: "0123abcd"}}},
			{Heading: "What happens", Items: []chat.Item{item("", "api", "v2.0.0 → v2.1.0"), item("", "db", "v1.0.0 → v1.1.0")}},
		},
	}
}

func plan() chat.Card {
	return chat.Card{
		Text: "Plan 0123abcd: 3 modules to staging, 2 waves, 9 steps. Nothing is touched yet.",
		Sections: []chat.Section{
			{Heading: "Wave 1", Items: []chat.Item{item("pending", "db", "v1.0.0 → v1.1.0")}},
			{Heading: "Wave 2", Items: []chat.Item{item("pending", "api", "v2.0.0 → v2.1.0"), item("pending", "web", "new → v3.1.0")}},
			{Heading: "Who is asked", Text: "1 of qa, not whoever releases.\n2 of ops."},
			{Heading: "Before you say yes", Items: []chat.Item{item("waiting", "web was never live in staging", "")}},
			{Heading: "Left out", Text: "Nothing new: mail and queue."},
		},
		Actions: []chat.Action{{Label: "Release 0123abcd", Command: "release 0123abcd", Style: chat.Good}},
	}
}

func sentence() chat.Card {
	return chat.Card{Text: "There is no module \"crat\". Did you mean cart?"}
}

func garbling() chat.Card {
	return chat.Card{
		Text:  "*bold* <!channel> & <@U0DEV>: _it_ ~is~ `code` :tada:",
		Title: "R&D <!here> *1*", Tone: chat.Good,
		Sections: []chat.Section{{
			Heading: "*heading* of __init__", Text: "> no quotation\nsnake_case_name, 2*3*4, a * b, *.go, ~/.config, @here #general https://example.com",
			Items: []chat.Item{item("done", "`rm -rf *`", "<https://example.com|click> &amp; :rocket: at 10:00:00"), item("failed", "at "+chat.At(noon, chat.Seconds, "14:03:27"), chat.Mention("nobody", "*Nobody*"))},
			Code:  "```\n<!channel> & `x`\n```",
		}},
		Footer: "To undo it: rollback 1 _now_ \u202egnp.exe \x1b[31m",
	}
}

func releaseForm() chat.Form {
	return chat.Form{
		Name: "release", Title: "Plan a release", Submit: "Show the plan", Wait: "Planning…",
		Inputs: []chat.Input{
			{Name: "modules", Label: "Modules", Kind: chat.Search, Hint: "Type a part of a name, or all. For a version that is not the newest, type: release cart@v1.4.0 to production"},
			{Name: "environment", Label: "Where to", Kind: chat.Choose, Choices: []chat.Choice{{Value: "staging", Label: "staging"}, {Value: "production", Label: "production"}}},
			{Name: "why", Label: "Why", Kind: chat.Words, Optional: true, Hint: "Those who approve read it"},
		},
	}
}

// cards and views are what is drawn for the golden files and the preview.
var cards = map[string]chat.Card{
	"running": running(), "large": large(), "failed": failed(), "request": request(), "answered": answered(),
	"plan": plan(), "sentence": sentence(), "garbling": garbling(),
}

var place = blocks.Metadata{Reply: "url:https://hooks.example/1", Channel: "C1", Message: "1.2"}.String()

var views = map[string]slack.ModalViewRequest{
	"release-form": blocks.FormView(releaseForm(), place),
	"reject":       blocks.AskView("Reject", "Why?", "reject 1 0123abcd because …", place),
	"planning":     blocks.WaitView("Plan a release", "Planning…"),
	"plan-view":    blocks.CardView(plan(), people, place),
	"request-view": blocks.CardView(request(), people, place),
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }

package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/store"
)

// problem is an error as RFC 9457 has it, with what Muster adds.
type problem struct {
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Detail string   `json:"detail"`
	Rule   string   `json:"rule,omitempty"` // the rule that said no
	Who    []string `json:"who,omitempty"`  // who could do it instead
	Try    []string `json:"try,omitempty"`  // what to send instead
	Card   *card    `json:"card,omitempty"`
}

func (p problem) write(w http.ResponseWriter) {
	p.Title = http.StatusText(p.Status)
	writeJSON(w, "application/problem+json", p.Status, p)
}

func writeJSON(w http.ResponseWriter, kind string, status int, v any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client has gone, and nobody else wants to know
}

// answer writes what came of a line.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, a bot.Answer) {
	status := statusOf(a.Err)
	if !wantsJSON(r) {
		plain(w, status, h.o.Render(a.Card))
		return
	}
	drawn := newCard(a.Card)
	if a.Err == nil {
		writeJSON(w, "application/json", status, drawn)
		return
	}
	p := problem{Status: status, Detail: a.Card.Text, Card: &drawn}
	var refusal *playbooks.Refusal
	if errors.As(a.Err, &refusal) {
		p.Rule, p.Who, p.Try = refusal.Rule, refusal.Who, refusal.Try
	}
	p.write(w)
}

// wantsJSON reports false for those who accept plain text and no JSON.
func wantsJSON(r *http.Request) bool {
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	return !strings.Contains(accept, "text/plain") || strings.Contains(accept, "json")
}

// statusOf tells programs what kind of no it was.
func statusOf(err error) int {
	var refusal *playbooks.Refusal
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &refusal) && (strings.HasPrefix(refusal.Rule, "may-") || refusal.Rule == "known-people-only"):
		return http.StatusForbidden
	case refusal != nil:
		return http.StatusConflict
	case errors.Is(err, store.ErrCorrupt):
		return http.StatusInternalServerError
	case errors.Is(err, engine.ErrNoRun), errors.Is(err, engine.ErrNoPlan):
		return http.StatusNotFound
	case errors.Is(err, engine.ErrStopped), errors.Is(err, engine.ErrNotSaved):
		return http.StatusServiceUnavailable
	}
	return http.StatusUnprocessableEntity
}

// card is a chat.Card for programs. Its fields are part of the API: they may be
// added to, and keep their meaning.
type card struct {
	Text     string    `json:"text"`
	Title    string    `json:"title,omitempty"`
	Tone     string    `json:"tone,omitempty"` // good, waiting, bad
	Progress *progress `json:"progress,omitempty"`
	Sections []section `json:"sections,omitempty"`
	Actions  []action  `json:"actions,omitempty"`
	Footer   string    `json:"footer,omitempty"`
}

type progress struct {
	Done  int    `json:"done"`
	Total int    `json:"total"`
	Label string `json:"label,omitempty"`
}

type section struct {
	Heading string  `json:"heading,omitempty"`
	Text    string  `json:"text,omitempty"`
	Fields  []field `json:"fields,omitempty"`
	Items   []item  `json:"items,omitempty"`
	Code    string  `json:"code,omitempty"`
}

type field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type item struct {
	Symbol string   `json:"symbol,omitempty"` // done, running, waiting, pending, failed, unknown, skipped, undone
	Text   string   `json:"text"`
	Row    []string `json:"row,omitempty"` // as symbol, of many things of one kind
	Detail string   `json:"detail,omitempty"`
}

type action struct {
	Label   string `json:"label"`
	Command string `json:"command"`
	Confirm string `json:"confirm,omitempty"`
	Ask     string `json:"ask,omitempty"` // what to say in place of the … that command ends in
}

func newCard(c chat.Card) card {
	c = c.Plain()
	out := card{Text: c.Text, Title: c.Title, Tone: string(c.Tone), Footer: c.Footer}
	if c.Progress != nil {
		out.Progress = &progress{c.Progress.Done, c.Progress.Total, c.Progress.Label}
	}
	for _, s := range c.Sections {
		drawn := section{Heading: s.Heading, Text: s.Text, Code: s.Code}
		for _, f := range s.Fields {
			drawn.Fields = append(drawn.Fields, field(f))
		}
		for _, i := range s.Items {
			var row []string
			for _, symbol := range i.Row {
				row = append(row, string(symbol))
			}
			drawn.Items = append(drawn.Items, item{string(i.Symbol), i.Text, row, i.Detail})
		}
		out.Sections = append(out.Sections, drawn)
	}
	for _, a := range c.Actions {
		out.Actions = append(out.Actions, action{a.Label, a.Command, a.Confirm, a.Ask})
	}
	return out
}

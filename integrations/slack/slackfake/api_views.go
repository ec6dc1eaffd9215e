package slackfake

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// maxView is how large a view may be (docs.slack.dev/reference/methods/views.open: view_too_large).
const maxView = 250_000

// View is a modal that somebody has open.
type View struct {
	ID         string
	User       string
	Hash       string
	CallbackID string
	Object     Object // as Slack writes it
	Opened     time.Time
	Changed    time.Time
	previous   string // the view below
	root       string
}

// Title is what stands at its top.
func (v View) Title() string { return textOf(v.Object["title"]) }

// Blocks are its blocks.
func (v View) Blocks() []Object { return blocksOf(v.Object) }

type trigger struct {
	user string
	at   time.Time
	used bool
	view string // the view that it came from
}

// View returns an open view.
func (w *Workspace) View(id string) (View, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if v := w.views[id]; v != nil {
		return *v, true
	}
	return View{}, false
}

// Views returns what a user has open, oldest first.
func (w *Workspace) Views(user string) []View {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []View
	for _, v := range w.views {
		if v.User == user {
			all = append(all, *v)
		}
	}
	slices.SortFunc(all, func(a, b View) int { return a.Opened.Compare(b.Opened) })
	return all
}

// What follows is called with the lock held.

func (w *Workspace) trigger(user, view string) string {
	maps.DeleteFunc(w.triggers, func(_ string, t *trigger) bool { return time.Since(t.at) > time.Minute+w.opts.TriggerLife })
	id := "111." + TeamID + "." + secret(12)
	w.triggers[id] = &trigger{user: user, at: time.Now(), view: view}
	return id
}

func (w *Workspace) viewsOpen(a args) (Object, *problem) {
	if a["trigger_id"] == "" {
		return nil, &problem{code: "invalid_arguments", messages: []string{"[ERROR] missing required field: trigger_id"}}
	}
	t := w.triggers[a["trigger_id"]]
	switch {
	case t == nil:
		return nil, fails("invalid_trigger_id")
	case time.Since(t.at) > w.opts.TriggerLife:
		return nil, fails("expired_trigger_id")
	case t.used:
		return nil, fails("exchanged_trigger_id")
	}
	o, p := w.readView(a["view"])
	if p != nil {
		return nil, p
	}
	if p := w.external(o, ""); p != nil {
		return nil, p
	}
	t.used = true
	v := w.openView(t.user, "", o)
	return Object{"view": v.Object}, nil
}

func (w *Workspace) viewsUpdate(a args) (Object, *problem) {
	v := w.views[a["view_id"]]
	if v == nil && a["external_id"] != "" {
		for _, other := range w.views {
			if other.Object["external_id"] == a["external_id"] {
				v = other
			}
		}
	}
	if v == nil {
		return nil, fails("not_found")
	}
	if h := a["hash"]; h != "" && h != v.Hash {
		return nil, fails("hash_conflict")
	}
	o, p := w.readView(a["view"])
	if p != nil {
		return nil, p
	}
	if p := w.external(o, v.ID); p != nil {
		return nil, p
	}
	w.setView(v, o)
	return Object{"view": v.Object}, nil
}

func (w *Workspace) external(o Object, self string) *problem {
	id, _ := o["external_id"].(string)
	for _, v := range w.views {
		if id != "" && v.ID != self && v.Object["external_id"] == id {
			return fails("duplicate_external_id")
		}
	}
	return nil
}

func (w *Workspace) readView(raw string) (Object, *problem) {
	if len(raw) > maxView {
		return nil, fails("view_too_large")
	}
	var o Object
	if raw == "" || json.Unmarshal([]byte(raw), &o) != nil || o == nil {
		return nil, &problem{code: "invalid_arguments", messages: []string{"[ERROR] missing required field: view"}}
	}
	if p := checkView(o); p != nil {
		return nil, p
	}
	w.identify(blocksOf(o))
	return o, nil
}

func (w *Workspace) openView(user, previous string, o Object) *View {
	id := fmt.Sprintf("V%04d", w.next())
	v := &View{ID: id, User: user, Opened: time.Now(), previous: previous, root: id}
	if below := w.views[previous]; below != nil {
		v.root = below.root
	}
	w.views[v.ID] = v
	w.setView(v, o)
	return v
}

func (w *Workspace) setView(v *View, o Object) {
	v.Hash = w.stamp() + secret(4)
	v.Changed = time.Now()
	v.CallbackID, _ = o["callback_id"].(string)
	full := maps.Clone(o)
	for _, name := range []string{"private_metadata", "callback_id", "external_id"} {
		s, _ := o[name].(string)
		full[name] = s
	}
	for _, name := range []string{"clear_on_close", "notify_on_close"} {
		yes, _ := o[name].(bool)
		full[name] = yes
	}
	for _, name := range []string{"submit", "close"} {
		if _, found := o[name]; !found {
			full[name] = nil
		}
	}
	full["id"], full["team_id"], full["hash"], full["app_id"] = v.ID, TeamID, v.Hash, AppID
	full["bot_id"], full["app_installed_team_id"], full["root_view_id"] = BotID, TeamID, v.root
	full["previous_view_id"] = nil
	if v.previous != "" {
		full["previous_view_id"] = v.previous
	}
	full["state"] = Object{"values": stateOf(blocksOf(o))}
	v.Object = full
	w.touch()
}

// closeView takes a view away, and those above it.
func (w *Workspace) closeView(id string) {
	delete(w.views, id)
	for _, v := range w.views {
		if v.previous == id {
			w.closeView(v.ID)
		}
	}
	w.touch()
}

// clearViews takes all views of a stack away.
func (w *Workspace) clearViews(v *View) {
	root := v.root
	maps.DeleteFunc(w.views, func(_ string, other *View) bool { return other.root == root })
	w.touch()
}

// stateOf are the values of inputs as they are before anybody touched them.
func stateOf(blocks []Object) Object {
	values := Object{}
	for _, b := range blocks {
		e, _ := b["element"].(Object)
		if b["type"] != "input" || e == nil {
			continue
		}
		block, _ := b["block_id"].(string)
		action, _ := e["action_id"].(string)
		values[block] = Object{action: initial(e)}
	}
	return values
}

func initial(e Object) Object {
	kind, _ := e["type"].(string)
	o := Object{"type": kind}
	switch kind {
	case "plain_text_input", "email_text_input", "url_text_input", "number_input":
		o["value"] = e["initial_value"]
	case "static_select", "external_select", "radio_buttons":
		o["selected_option"] = e["initial_option"]
	case "multi_static_select", "multi_external_select", "checkboxes":
		all, _ := e["initial_options"].([]any)
		if all == nil {
			all = []any{}
		}
		o["selected_options"] = all
	case "datepicker":
		o["selected_date"] = e["initial_date"]
	}
	return o
}

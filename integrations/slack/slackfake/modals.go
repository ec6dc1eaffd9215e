package slackfake

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Option is something that can be chosen.
type Option struct{ Label, Value string }

// Submission is what became of a modal that somebody sent.
type Submission struct {
	Delivery Delivery
	// Action is the app's response_action: "" (the modal closes), "update", "push", "clear" or "errors".
	Action string
	Errors map[string]string // of "errors", by block ID
	View   View              // what is shown then, if anything is
	// Trouble is set when Slack cannot make sense of the answer, or there is none: the modal
	// stays, and says that there was some trouble connecting.
	Trouble string
}

// Suggest lets somebody type into a select with an external data source, and returns the
// options that the app offers.
func (w *Workspace) Suggest(user, viewID, blockID, typed string) ([]Option, Delivery, error) {
	w.mu.Lock()
	v, u, err := w.opened(user, viewID)
	if err != nil {
		w.mu.Unlock()
		return nil, Delivery{}, fmt.Errorf("slackfake: suggest: %w", err)
	}
	_, e, err := element(v, blockID)
	if err == nil && e["type"] != "external_select" && e["type"] != "multi_external_select" {
		err = fmt.Errorf("block %q is a %v", blockID, e["type"])
	}
	least := 3.0 // the usual min_query_length
	if n, found := e["min_query_length"].(float64); found {
		least = n
	}
	if err == nil && utf8.RuneCountInString(typed) < int(least) {
		err = fmt.Errorf("nothing is asked before %v characters are typed", least)
	}
	if err != nil {
		w.mu.Unlock()
		return nil, Delivery{}, fmt.Errorf("slackfake: suggest: %w", err)
	}
	p := w.interaction("block_suggestion", u)
	p["container"] = Object{"type": "view", "view_id": v.ID}
	p["action_id"], p["block_id"], p["value"], p["view"] = e["action_id"], blockID, typed, v.Object
	p = clone(p)
	w.mu.Unlock()

	d := w.Deliver(Interactive, p)
	if !d.Acked {
		return nil, d, nil
	}
	var given struct {
		Options []Object `json:"options"`
		Groups  []struct {
			Options []Object `json:"options"`
		} `json:"option_groups"`
	}
	if err := json.Unmarshal([]byte(d.Ack), &given); err != nil {
		return nil, d, fmt.Errorf("slackfake: suggest: decode options: %w", err)
	}
	all := given.Options
	for _, g := range given.Groups {
		all = append(all, g.Options...)
	}
	check := &checker{ids: map[string]bool{}}
	raw := make([]any, 0, len(all))
	for _, o := range all {
		raw = append(raw, o)
	}
	check.options("/options", raw, 0, 100)
	if len(check.messages) > 0 {
		return nil, d, fmt.Errorf("slackfake: suggest: Slack shows none of these options: %s", check.messages[0])
	}
	options := []Option{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range all {
		value, _ := o["value"].(string)
		options = append(options, Option{textOf(o["text"]), value})
		w.offered[user+" "+viewID+" "+blockID+" "+value] = textOf(o["text"])
	}
	return options, d, nil
}

// Submit lets somebody fill in a modal and send it: values by block ID. What is not named
// stays as it was. It is an error if Slack would not send it: a required input is empty, a
// text too long, or an option was not offered.
func (w *Workspace) Submit(user, viewID string, values map[string][]string) (Submission, error) {
	p, err := w.SubmitPayload(user, viewID, values)
	if err != nil {
		return Submission{}, err
	}
	d := w.Deliver(Interactive, p)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.submitted(viewID, d), nil
}

// SubmitPayload is what Submit delivers.
func (w *Workspace) SubmitPayload(user, viewID string, values map[string][]string) (Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, u, err := w.opened(user, viewID)
	if err != nil {
		return nil, fmt.Errorf("slackfake: submit: %w", err)
	}
	if v.Object["submit"] == nil {
		return nil, fmt.Errorf("slackfake: submit: view %q cannot be sent", viewID)
	}
	for block := range values {
		if _, _, err := element(v, block); err != nil {
			return nil, fmt.Errorf("slackfake: submit: %w", err)
		}
	}
	state := Object{}
	for _, b := range v.Blocks() {
		e, _ := b["element"].(Object)
		if b["type"] != "input" || e == nil {
			continue
		}
		block, _ := b["block_id"].(string)
		action, _ := e["action_id"].(string)
		filled := initial(e)
		if given, found := values[block]; found {
			if filled, err = w.fill(user, v, block, e, given); err != nil {
				return nil, fmt.Errorf("slackfake: submit: block %q: %w", block, err)
			}
		}
		if optional, _ := b["optional"].(bool); !optional && blank(filled) {
			return nil, fmt.Errorf("slackfake: submit: block %q: please complete this required field", block)
		}
		state[block] = Object{action: filled}
	}
	view := clone(v.Object)
	view["state"] = Object{"values": state}
	p := w.interaction("view_submission", u)
	p["trigger_id"], p["view"], p["response_urls"] = w.trigger(u.ID, v.ID), view, []any{}
	return clone(p), nil
}

// CloseView lets somebody close a modal without sending it.
func (w *Workspace) CloseView(user, viewID string) (Delivery, error) {
	w.mu.Lock()
	v, u, err := w.opened(user, viewID)
	if err != nil {
		w.mu.Unlock()
		return Delivery{}, fmt.Errorf("slackfake: close view: %w", err)
	}
	w.closeView(v.ID)
	notify, _ := v.Object["notify_on_close"].(bool)
	p := w.interaction("view_closed", u)
	p["view"], p["is_cleared"] = v.Object, false
	p = clone(p)
	w.mu.Unlock()
	if !notify {
		return Delivery{}, nil
	}
	return w.Deliver(Interactive, p), nil
}

// PressInView lets somebody press a button of a modal, and say yes if Slack asks first.
func (w *Workspace) PressInView(user, viewID, button string) (Delivery, error) {
	w.mu.Lock()
	v, u, err := w.opened(user, viewID)
	if err != nil {
		w.mu.Unlock()
		return Delivery{}, fmt.Errorf("slackfake: press %q: %w", button, err)
	}
	b, err := pickButton(v.Buttons(), button)
	if err != nil {
		w.mu.Unlock()
		return Delivery{}, fmt.Errorf("slackfake: press in view %q: %w", viewID, err)
	}
	p := w.interaction("block_actions", u)
	p["container"], p["view"] = Object{"type": "view", "view_id": v.ID}, v.Object
	p["trigger_id"], p["actions"] = w.trigger(u.ID, v.ID), []Object{actionOf(b)}
	p = clone(p)
	w.mu.Unlock()
	return w.Deliver(Interactive, p), nil
}

// What follows is called with the lock held.

func (w *Workspace) opened(user, viewID string) (*View, *User, error) {
	u, v := w.users[user], w.views[viewID]
	switch {
	case u == nil || u.Deleted:
		return nil, nil, fmt.Errorf("there is no user %q", user)
	case v == nil || v.User != user:
		return nil, nil, fmt.Errorf("%q has no view %q open", user, viewID)
	}
	return v, u, nil
}

func element(v *View, block string) (Object, Object, error) {
	var names []string
	for _, b := range v.Blocks() {
		if e, _ := b["element"].(Object); b["type"] == "input" && e != nil {
			if b["block_id"] == block {
				return b, e, nil
			}
			names = append(names, fmt.Sprint(b["block_id"]))
		}
	}
	return nil, nil, fmt.Errorf("there is no input %q, only %q", block, names)
}

func (w *Workspace) fill(user string, v *View, block string, e Object, given []string) (Object, error) {
	kind, _ := e["type"].(string)
	o := Object{"type": kind}
	switch kind {
	case "static_select", "external_select", "radio_buttons":
		if len(given) > 1 {
			return nil, fmt.Errorf("%d options for one", len(given))
		}
		o["selected_option"] = nil
		for _, value := range given {
			chosen, err := w.choose(user, v, block, e, value)
			if err != nil {
				return nil, err
			}
			o["selected_option"] = chosen
		}
	case "multi_static_select", "multi_external_select", "checkboxes":
		if most, found := e["max_selected_items"].(float64); found && len(given) > int(most) {
			return nil, fmt.Errorf("%d options where %v are allowed", len(given), most)
		}
		all := []any{}
		for _, value := range given {
			chosen, err := w.choose(user, v, block, e, value)
			if err != nil {
				return nil, err
			}
			all = append(all, chosen)
		}
		o["selected_options"] = all
	default:
		text := ""
		if len(given) > 0 {
			text = given[0]
		}
		most := 3000
		if n, found := e["max_length"].(float64); found {
			most = int(n)
		}
		n := utf8.RuneCountInString(text)
		if least, _ := e["min_length"].(float64); n > most || n > 0 && n < int(least) {
			return nil, fmt.Errorf("%d characters, between %v and %d are allowed", n, least, most)
		}
		name := map[string]string{"datepicker": "selected_date", "users_select": "selected_user"}[kind]
		if name == "" {
			name = "value"
		}
		if o[name] = text; text == "" {
			o[name] = nil
		}
	}
	return o, nil
}

// choose finds the option with a value, among those of the view or those suggested.
func (w *Workspace) choose(user string, v *View, block string, e Object, value string) (Object, error) {
	all := objects(e["options"])
	for _, g := range objects(e["option_groups"]) {
		all = append(all, objects(g["options"])...)
	}
	all = append(all, objects(e["initial_options"])...)
	if o, _ := e["initial_option"].(Object); o != nil {
		all = append(all, o)
	}
	if i := slices.IndexFunc(all, func(o Object) bool { return o["value"] == value || textOf(o["text"]) == value }); i >= 0 {
		return all[i], nil
	}
	if label, found := w.offered[user+" "+v.ID+" "+block+" "+value]; found {
		return Object{"text": Object{"type": "plain_text", "text": label, "emoji": true}, "value": value}, nil
	}
	return nil, fmt.Errorf("option %q is not offered", value)
}

func blank(o Object) bool {
	for name, v := range o {
		if name == "type" {
			continue
		}
		switch v := v.(type) {
		case nil:
		case string:
			return v == ""
		case []any:
			return len(v) == 0
		default:
			return false
		}
	}
	return true
}

// submitted carries out the app's answer to a submission.
func (w *Workspace) submitted(viewID string, d Delivery) Submission {
	s := Submission{Delivery: d}
	v := w.views[viewID]
	if !d.Acked {
		s.Trouble = d.Error
	}
	var given struct {
		Action string            `json:"response_action"`
		Errors map[string]string `json:"errors"`
		View   json.RawMessage   `json:"view"`
	}
	if s.Trouble == "" && len(d.Ack) > 0 {
		if err := json.Unmarshal([]byte(d.Ack), &given); err != nil {
			s.Trouble = err.Error()
		}
	}
	if s.Action = given.Action; v == nil {
		return s // it was closed in the meantime
	}
	if s.Trouble == "" {
		switch given.Action {
		case "":
			w.closeView(viewID)
			if below := w.views[v.previous]; below != nil {
				s.View = *below
			}
			return s
		case "clear":
			w.clearViews(v)
			return s
		case "errors":
			s.Errors = given.Errors
			for block := range given.Errors {
				if _, _, err := element(v, block); err != nil {
					s.Trouble = err.Error()
				}
			}
			if len(given.Errors) == 0 {
				s.Trouble = "there are no errors"
			}
		case "update", "push":
			o, p := w.readView(string(given.View))
			if p != nil {
				s.Trouble = fmt.Sprintf("%s %q", p.code, p.messages)
				break
			}
			if given.Action == "push" {
				v = w.openView(v.User, v.ID, o)
			} else {
				w.setView(v, o)
			}
		default:
			s.Trouble = fmt.Sprintf("unknown response_action %q", given.Action)
		}
	}
	s.View = *v
	return s
}

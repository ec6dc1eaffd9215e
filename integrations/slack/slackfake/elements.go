package slackfake

import (
	"fmt"
	"slices"
)

var (
	actionElements = []string{
		"button", "static_select", "external_select", "multi_static_select", "multi_external_select", "users_select",
		"overflow", "checkboxes", "radio_buttons", "datepicker",
	}
	inputElements = []string{
		"plain_text_input", "static_select", "external_select", "multi_static_select", "multi_external_select",
		"users_select", "checkboxes", "radio_buttons", "datepicker", "email_text_input", "url_text_input", "number_input",
	}
)

// element checks an interactive element (docs.slack.dev/reference/block-kit/block-elements).
func (c *checker) element(at string, e Object, allowed []string) {
	kind, _ := e["type"].(string)
	if !slices.Contains(allowed, kind) {
		c.wrong(at+"/type", "unsupported type: %v", e["type"])
		return
	}
	c.str(at+"/action_id", e["action_id"], 255, false)
	c.confirm(at+"/confirm", e["confirm"])
	common := []string{"type", "action_id", "confirm", "focus_on_load", "placeholder"}
	c.plain(at+"/placeholder", e["placeholder"], 150, false)
	switch kind {
	case "button":
		c.keys(at, e, "type", "action_id", "confirm", "text", "value", "url", "style", "accessibility_label")
		c.plain(at+"/text", e["text"], 75, true)
		c.str(at+"/value", e["value"], 2000, false)
		c.str(at+"/url", e["url"], 3000, false)
		c.str(at+"/accessibility_label", e["accessibility_label"], 75, false)
		if s, found := e["style"]; found && s != "primary" && s != "danger" {
			c.wrong(at+"/style", "must be one of: primary, danger")
		}
	case "static_select", "multi_static_select":
		c.keys(at, e, append(common, "options", "option_groups", "initial_option", "initial_options", "max_selected_items")...)
		if e["options"] == nil && e["option_groups"] == nil {
			c.wrong(at, "must define either `options` or `option_groups`")
		}
		if e["options"] != nil {
			c.options(at+"/options", e["options"], 1, 100)
		}
		for i, g := range objects(e["option_groups"]) {
			where := fmt.Sprintf("%s/option_groups/%d", at, i)
			c.plain(where+"/label", g["label"], 75, true)
			c.options(where+"/options", g["options"], 1, 100)
		}
		c.initials(at, e)
	case "external_select", "multi_external_select":
		c.keys(at, e, append(common, "min_query_length", "initial_option", "initial_options", "max_selected_items")...)
		c.initials(at, e)
	case "users_select":
		c.keys(at, e, append(common, "initial_user")...)
	case "datepicker":
		c.keys(at, e, append(common, "initial_date")...)
	case "overflow":
		c.keys(at, e, "type", "action_id", "confirm", "options")
		c.options(at+"/options", e["options"], 1, 5)
	case "checkboxes", "radio_buttons":
		c.keys(at, e, "type", "action_id", "confirm", "focus_on_load", "options", "initial_option", "initial_options")
		c.options(at+"/options", e["options"], 1, 10)
		c.initials(at, e)
	case "plain_text_input":
		c.keys(at, e, append(common, "multiline", "min_length", "max_length", "initial_value", "dispatch_action_config")...)
		c.str(at+"/initial_value", e["initial_value"], 3000, false)
		if n, found := e["max_length"].(float64); found && (n < 1 || n > 3000) {
			c.wrong(at+"/max_length", "must be between 1 and 3000")
		}
		if n, found := e["min_length"].(float64); found && (n < 0 || n > 3000) {
			c.wrong(at+"/min_length", "must be between 0 and 3000")
		}
	default:
		c.keys(at, e, append(common, "initial_value", "dispatch_action_config", "min_value", "max_value", "is_decimal_allowed")...)
	}
}

func (c *checker) initials(at string, e Object) {
	if o, found := e["initial_option"].(Object); found {
		c.option(at+"/initial_option", o)
	}
	if e["initial_options"] != nil {
		c.options(at+"/initial_options", e["initial_options"], 1, 100)
	}
}

func (c *checker) options(at string, v any, least, most int) {
	all := objects(v)
	switch {
	case len(all) < least:
		c.wrong(at, "must have at least %d item", least)
	case len(all) > most:
		c.wrong(at, "no more than %d items allowed", most)
	}
	for i, o := range all {
		c.option(fmt.Sprintf("%s/%d", at, i), o)
	}
}

// option allows 75 characters of text and 150 of value
// (docs.slack.dev/reference/block-kit/composition-objects/option-object).
func (c *checker) option(at string, o Object) {
	c.keys(at, o, "text", "value", "description", "url")
	c.text(at+"/text", o["text"], 75)
	c.str(at+"/value", o["value"], 150, true)
	c.plain(at+"/description", o["description"], 75, false)
}

func (c *checker) confirm(at string, v any) {
	if v == nil {
		return
	}
	o, _ := v.(Object)
	c.keys(at, o, "title", "text", "confirm", "deny", "style")
	c.plain(at+"/title", o["title"], 100, true)
	c.text(at+"/text", o["text"], 300)
	c.plain(at+"/confirm", o["confirm"], 30, true)
	c.plain(at+"/deny", o["deny"], 30, true)
	if s, found := o["style"]; found && s != "primary" && s != "danger" {
		c.wrong(at+"/style", "must be one of: primary, danger")
	}
}

// interactive are the elements of a block that a person can use.
func interactive(b Object) []Object {
	var all []Object
	switch b["type"] {
	case "actions":
		all = objects(b["elements"])
	case "section":
		if e, _ := b["accessory"].(Object); e != nil && e["type"] != "image" {
			all = []Object{e}
		}
	case "input":
		if e, _ := b["element"].(Object); e != nil {
			all = []Object{e}
		}
	}
	return all
}

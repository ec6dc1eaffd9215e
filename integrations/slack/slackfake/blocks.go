package slackfake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of Block Kit (docs.slack.dev/reference/block-kit). Characters are Unicode code points,
// counted as they were sent: an escaped ampersand is five.
const (
	maxMessageBlocks = 50
	maxViewBlocks    = 100
	// maxAllText bounds the texts of all blocks of a message together; beyond it Slack says
	// msg_blocks_too_long. It is not documented; this is what people measured.
	maxAllText = 13_200
)

// checker collects what is wrong with blocks.
type checker struct {
	messages []string
	view     bool
	total    int // characters in all texts
	ids      map[string]bool
}

func (c *checker) wrong(at, format string, a ...any) {
	c.messages = append(c.messages, fmt.Sprintf("[ERROR] "+format+" [json-pointer:%s]", append(a, at)...))
}

// checkMessage finds out whether Slack would take these blocks as a message's.
func checkMessage(blocks, attachments []Object) *problem {
	c := &checker{ids: map[string]bool{}}
	c.blocks("/blocks", blocks, maxMessageBlocks)
	if len(c.messages) > 0 {
		return &problem{code: "invalid_blocks", messages: c.messages}
	}
	if len(attachments) > 100 {
		return fails("too_many_attachments")
	}
	total := len(blocks)
	for i, a := range attachments {
		inside := blocksOf(a)
		total += len(inside)
		c.blocks(fmt.Sprintf("/attachments/%d/blocks", i), inside, maxMessageBlocks)
	}
	if total > maxMessageBlocks && len(c.messages) == 0 {
		c.wrong("/attachments", "no more than %d items allowed", maxMessageBlocks)
	}
	if len(c.messages) > 0 {
		return &problem{code: "invalid_attachments", messages: c.messages}
	}
	if c.total > maxAllText {
		return fails("msg_blocks_too_long")
	}
	return nil
}

// checkView finds out whether Slack would show a view.
func checkView(o Object) *problem {
	c := &checker{view: true, ids: map[string]bool{}}
	c.keys("/view", o, "type", "title", "blocks", "submit", "close", "private_metadata", "callback_id", "clear_on_close",
		"notify_on_close", "external_id", "submit_disabled", "state", "hash")
	if o["type"] != "modal" {
		c.wrong("/view/type", "unsupported type: %v", o["type"])
	}
	c.plain("/view/title", o["title"], 24, true)
	c.plain("/view/submit", o["submit"], 24, false)
	c.plain("/view/close", o["close"], 24, false)
	c.str("/view/private_metadata", o["private_metadata"], 3000, false)
	c.str("/view/callback_id", o["callback_id"], 255, false)
	c.str("/view/external_id", o["external_id"], 255, false)
	if _, isList := o["blocks"].([]any); !isList {
		c.wrong("/view", "missing required field: blocks")
	}
	blocks := blocksOf(o)
	c.blocks("/view/blocks", blocks, maxViewBlocks)
	hasInput := slices.ContainsFunc(blocks, func(b Object) bool { return b["type"] == "input" })
	if hasInput && o["submit"] == nil {
		c.wrong("/view", "missing required field: submit")
	}
	if len(c.messages) > 0 {
		return &problem{code: "invalid_arguments", messages: c.messages}
	}
	return nil
}

func (c *checker) blocks(at string, blocks []Object, most int) {
	if len(blocks) > most {
		c.wrong(at, "no more than %d items allowed", most)
		return
	}
	for i, b := range blocks {
		c.block(fmt.Sprintf("%s/%d", at, i), b)
	}
}

func (c *checker) block(at string, b Object) {
	if id, found := b["block_id"]; found {
		c.str(at+"/block_id", id, 255, false)
		if s, _ := id.(string); s != "" {
			if c.ids[s] {
				c.wrong(at+"/block_id", "block_id %q already exists", s)
			}
			c.ids[s] = true
		}
	}
	kind, _ := b["type"].(string)
	switch kind {
	case "section":
		c.section(at, b)
	case "header":
		c.keys(at, b, "type", "block_id", "text", "level")
		c.plain(at+"/text", b["text"], 150, true)
	case "divider":
		c.keys(at, b, "type", "block_id")
	case "context":
		c.context(at, b)
	case "actions":
		c.keys(at, b, "type", "block_id", "elements")
		c.elements(at, b, 25, actionElements)
	case "image":
		c.keys(at, b, "type", "block_id", "image_url", "slack_file", "alt_text", "title", "image_width", "image_height", "image_bytes", "fallback")
		c.str(at+"/image_url", b["image_url"], 3000, b["slack_file"] == nil)
		c.str(at+"/alt_text", b["alt_text"], 2000, true)
		c.plain(at+"/title", b["title"], 2000, false)
	case "input":
		c.input(at, b)
	case "rich_text":
		c.keys(at, b, "type", "block_id", "elements")
		c.total += richLength(b["elements"])
	case "markdown":
		c.keys(at, b, "type", "block_id", "text")
		c.total += c.str(at+"/text", b["text"], 12_000, true)
		if c.view {
			c.wrong(at+"/type", "unsupported type: %v", b["type"])
		}
	default:
		c.wrong(at+"/type", "unsupported type: %v", b["type"])
	}
}

func (c *checker) section(at string, b Object) {
	c.keys(at, b, "type", "block_id", "text", "fields", "accessory", "expand")
	if b["text"] == nil && b["fields"] == nil {
		c.wrong(at, "must define either `text` or `fields`")
	}
	if b["text"] != nil {
		c.text(at+"/text", b["text"], 3000)
	}
	if b["fields"] != nil {
		fields := objects(b["fields"])
		switch {
		case len(fields) == 0:
			c.wrong(at+"/fields", "must have at least 1 item")
		case len(fields) > 10:
			c.wrong(at+"/fields", "no more than 10 items allowed")
		}
		for i, f := range fields {
			c.text(fmt.Sprintf("%s/fields/%d", at, i), f, 2000)
		}
	}
	if b["accessory"] != nil {
		e, _ := b["accessory"].(Object)
		if e["type"] == "image" {
			c.image(at+"/accessory", e)
		} else {
			c.element(at+"/accessory", e, actionElements)
		}
	}
}

func (c *checker) context(at string, b Object) {
	c.keys(at, b, "type", "block_id", "elements")
	all := objects(b["elements"])
	switch {
	case len(all) == 0:
		c.wrong(at+"/elements", "must have at least 1 item")
	case len(all) > 10:
		c.wrong(at+"/elements", "no more than 10 items allowed")
	}
	for i, e := range all {
		where := fmt.Sprintf("%s/elements/%d", at, i)
		if e["type"] == "image" {
			c.image(where, e)
		} else {
			c.text(where, e, 3000)
		}
	}
}

func (c *checker) image(at string, e Object) {
	c.keys(at, e, "type", "image_url", "slack_file", "alt_text", "image_width", "image_height", "image_bytes", "fallback")
	c.str(at+"/image_url", e["image_url"], 3000, e["slack_file"] == nil)
	c.str(at+"/alt_text", e["alt_text"], 2000, true)
}

func (c *checker) input(at string, b Object) {
	c.keys(at, b, "type", "block_id", "label", "element", "hint", "optional", "dispatch_action")
	c.plain(at+"/label", b["label"], 2000, true)
	c.plain(at+"/hint", b["hint"], 2000, false)
	e, _ := b["element"].(Object)
	if e == nil {
		c.wrong(at, "missing required field: element")
		return
	}
	c.element(at+"/element", e, inputElements)
}

func (c *checker) elements(at string, b Object, most int, allowed []string) {
	all := objects(b["elements"])
	switch {
	case len(all) == 0:
		c.wrong(at+"/elements", "must have at least 1 item")
	case len(all) > most:
		c.wrong(at+"/elements", "no more than %d items allowed", most)
	}
	ids := map[string]bool{}
	for i, e := range all {
		where := fmt.Sprintf("%s/elements/%d", at, i)
		c.element(where, e, allowed)
		if id, _ := e["action_id"].(string); id != "" {
			if ids[id] {
				c.wrong(where+"/action_id", "action_id %q already exists", id)
			}
			ids[id] = true
		}
	}
}

// keys refuses what an object of this kind does not have.
func (c *checker) keys(at string, o Object, allowed ...string) {
	for _, k := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(allowed, k) {
			c.wrong(at, "invalid additional property: %s", k)
		}
	}
}

// str checks a string and returns its length.
func (c *checker) str(at string, v any, most int, required bool) int {
	if v == nil {
		if required {
			i := strings.LastIndexByte(at, '/')
			c.wrong(at[:i], "missing required field: %s", at[i+1:])
		}
		return 0
	}
	s, isString := v.(string)
	n := utf8.RuneCountInString(s)
	switch {
	case !isString:
		c.wrong(at, "must be a string")
	case n == 0 && required:
		c.wrong(at, "must be more than 0 characters")
	case n > most:
		c.wrong(at, "must be less than %d characters", most+1)
	}
	return n
}

// text checks a text object of either kind.
func (c *checker) text(at string, v any, most int) {
	o, _ := v.(Object)
	switch o["type"] {
	case "plain_text":
		c.keys(at, o, "type", "text", "emoji")
	case "mrkdwn":
		c.keys(at, o, "type", "text", "verbatim")
	default:
		c.wrong(at+"/type", "unsupported type: %v", o["type"])
		return
	}
	c.total += c.str(at+"/text", o["text"], most, true)
}

// plain checks a text object that has to be plain_text.
func (c *checker) plain(at string, v any, most int, required bool) {
	if v == nil {
		if required {
			i := strings.LastIndexByte(at, '/')
			c.wrong(at[:i], "missing required field: %s", at[i+1:])
		}
		return
	}
	if o, _ := v.(Object); o["type"] != "plain_text" {
		c.wrong(at+"/type", "must be plain_text")
		return
	}
	c.text(at, v, most)
}

func richLength(v any) int {
	n := 0
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			n += richLength(e)
		}
	case Object:
		if s, ok := v["text"].(string); ok {
			n += utf8.RuneCountInString(s)
		}
		n += richLength(v["elements"])
	}
	return n
}

// objects are the objects of a JSON list.
func objects(v any) []Object {
	if all, ok := v.([]Object); ok {
		return all
	}
	list, _ := v.([]any)
	all := make([]Object, 0, len(list))
	for _, e := range list {
		o, _ := e.(Object)
		if o == nil {
			o = Object{}
		}
		all = append(all, o)
	}
	return all
}

func blocksOf(o Object) []Object { return objects(o["blocks"]) }

// textOf is the text of a text object.
func textOf(v any) string {
	o, _ := v.(Object)
	s, _ := o["text"].(string)
	return s
}

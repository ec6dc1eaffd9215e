package configs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// field is a key that a mapping may have, and what reads its value.
type field struct {
	key    string
	decode func(*node)
	secret bool // what stands here, or at a misspelling of it, must not be shown
}

// object reads a mapping. What says what it describes, with its article.
func (d *decoder) object(n *node, what string, fields ...field) bool {
	if n.kind != mapping {
		return d.want(n, "keys with values")
	}
next:
	for _, pair := range n.pairs {
		secret := false
		for _, f := range fields {
			if f.key == pair.key {
				f.decode(pair.value)
				continue next
			}
			secret = secret || f.secret
		}
		if secret {
			d.hide(pair.value)
		}
		d.unknownKey(pair, what, fields)
	}
	return true
}

func (d *decoder) unknownKey(p pair, what string, fields []field) {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	d.report(p.at, oneOf(p.key, keys), "unknown key %q in %s", p.key, what)
}

// want reports a value of the wrong type. It returns false.
func (d *decoder) want(n *node, what string) bool {
	where := quote(n.name)
	if n.item {
		where = "an entry of " + where
	}
	switch {
	case n.kind == broken:
	case n.kind == null:
		d.report(n.at, "", "%s has no value: give it one or remove it", where)
	case what == "a list" && n.kind != mapping:
		d.report(n.at, "put it in [ ]", "%s wants a list, found %s", where, n)
	default:
		d.report(n.at, "", "%s wants %s, found %s", where, what, n)
	}
	return false
}

// list returns the items of a list.
func (d *decoder) list(n *node) []*node {
	if n.kind != list {
		d.want(n, "a list")
		return nil
	}
	return n.items
}

// text returns a scalar as it was written. Numbers and booleans are text where
// text is wanted.
func (d *decoder) text(n *node) string {
	switch n.kind {
	case text, number, boolean:
	default:
		d.want(n, "text")
		return ""
	}
	for _, r := range n.text {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			d.report(n.at, "", "%q contains the control character %U", n.name, r)
			return ""
		}
	}
	return n.text
}

// texts returns a list of different texts.
func (d *decoder) texts(n *node) []string {
	items := d.list(n)
	values := make([]string, 0, len(items))
	for _, item := range d.unique(items) {
		if value := d.text(item); value != "" {
			values = append(values, value)
		}
	}
	return values
}

// unique reports scalars that a list has twice, and empty ones, and returns all others.
func (d *decoder) unique(items []*node) []*node {
	seen := make(map[string]bool, len(items))
	kept := make([]*node, 0, len(items))
	for _, item := range items {
		scalar := item.kind == text || item.kind == number || item.kind == boolean
		switch {
		case scalar && item.text == "":
			d.report(item.at, "", "%q has an empty entry", item.name)
		case scalar && seen[item.text]:
			d.report(item.at, "", "%q lists %q twice", item.name, item.text)
		default:
			seen[item.text] = scalar
			kept = append(kept, item)
		}
	}
	return kept
}

// table returns a mapping of texts.
func (d *decoder) table(n *node) map[string]string {
	if n.kind != mapping {
		d.want(n, "keys with values")
		return nil
	}
	values := make(map[string]string, len(n.pairs))
	for _, pair := range n.pairs {
		values[pair.key] = d.text(pair.value)
	}
	return values
}

// integer returns a whole number of at least low and at most high.
func (d *decoder) integer(n *node, low, high int) int {
	if n.kind != number {
		d.want(n, "a whole number")
		return low
	}
	value, err := strconv.Atoi(n.text)
	switch {
	case errors.Is(err, strconv.ErrRange):
		d.report(n.at, "", "%q is out of range", n.name)
	case err != nil:
		d.report(n.at, "", "%q wants a whole number, found %s", n.name, n.text)
	case value < low:
		d.report(n.at, "", "%q is %d, and must be at least %d", n.name, value, low)
	case value > high:
		d.report(n.at, "", "%q is %d, and must be at most %d", n.name, value, high)
	default:
		return value
	}
	return low
}

// count returns a whole number that is not negative.
func (d *decoder) count(n *node) int { return d.integer(n, 0, math.MaxInt32) }

func (d *decoder) flag(n *node) bool {
	switch {
	case n.kind == boolean:
		return strings.EqualFold(n.text, "true")
	case n.kind == text && (n.text == "yes" || n.text == "on"):
		d.report(n.at, "did you mean true?", "%q wants true or false, found text", n.name)
	case n.kind == text && (n.text == "no" || n.text == "off"):
		d.report(n.at, "did you mean false?", "%q wants true or false, found text", n.name)
	default:
		d.want(n, "true or false")
	}
	return false
}

// choice returns a text that is one of a few.
func choice[T ~string](d *decoder, n *node, what string, choices ...T) T {
	value := T(d.text(n))
	if value == "" && n.kind != text {
		return ""
	}
	words := make([]string, len(choices))
	for i, c := range choices {
		if c == value {
			return value
		}
		words[i] = string(c)
	}
	d.report(n.at, oneOf(string(value), words), "unknown %s %q", what, string(value))
	return ""
}

// duration returns a time span that is more than zero.
func (d *decoder) duration(n *node) time.Duration {
	span, ok := d.span(n)
	if ok && span == 0 {
		d.report(n.at, "", "%q is %s, and must be more than zero", n.name, n.text)
	}
	return span
}

// span returns a time span that is not negative, and whether it is right.
func (d *decoder) span(n *node) (time.Duration, bool) {
	const example = "a duration such as 90s, 15m, 2h or 3d"
	switch n.kind {
	case text:
	case number:
		hint := ""
		if value, err := strconv.Atoi(n.text); err == nil && value > 0 {
			hint = fmt.Sprintf("did you mean %dm?", value)
		}
		d.report(n.at, hint, "%q wants %s: %s has no unit", n.name, example, n.text)
		return 0, false
	default:
		return 0, d.want(n, example)
	}
	span, ok := parseDuration(n.text)
	if !ok {
		d.report(n.at, "", "%q wants %s, found %q", n.name, example, n.text)
		return 0, false
	}
	if span < 0 {
		d.report(n.at, "", "%q is %s, and cannot be negative", n.name, n.text)
		return 0, false
	}
	return span, true
}

// between returns a time span that is more than zero, at least low and at most high.
func (d *decoder) between(n *node, low, high time.Duration) time.Duration {
	known := len(d.found)
	span := d.duration(n)
	switch {
	case len(d.found) > known:
	case span < low:
		d.report(n.at, "", "%q is %s, and must be at least %s", n.name, n.text, shortSpan(low))
	case span > high:
		d.report(n.at, "", "%q is %s, and must be at most %s", n.name, n.text, shortSpan(high))
	default:
		return span
	}
	return max(low, 0)
}

// shortSpan writes a span as people write it in a configuration, in one unit.
func shortSpan(span time.Duration) string {
	for _, unit := range []struct {
		span time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if span >= unit.span && span%unit.span == 0 {
			return strconv.FormatInt(int64(span/unit.span), 10) + unit.name
		}
	}
	return span.String()
}

// parseDuration reads what time.ParseDuration reads, and days before it: 1d12h.
// A day is 24 hours.
func parseDuration(s string) (time.Duration, bool) {
	var days time.Duration
	if before, after, ok := strings.Cut(s, "d"); ok {
		count, err := strconv.ParseUint(before, 10, 32)
		if err != nil || time.Duration(count) > math.MaxInt64/(24*time.Hour) {
			return 0, false
		}
		days, s = time.Duration(count)*24*time.Hour, after
		if s == "" {
			return days, true
		}
		if s[0] == '-' || s[0] == '+' {
			return 0, false
		}
	}
	rest, err := time.ParseDuration(s)
	if err != nil || rest > math.MaxInt64-days {
		return 0, false
	}
	return days + rest, true
}

// name returns the name or the version of something, as what says. Forbidden are characters that have a
// meaning in commands; a leading @ is fine for modules.
func (d *decoder) name(n *node, what, forbidden string) string {
	value := d.text(n)
	if value == "" {
		if n.kind == text {
			d.report(n.at, "", "%s is empty", what)
		}
		return ""
	}
	if flaw := nameFlaw(value, forbidden); flaw != "" {
		d.report(n.at, "", "%s cannot be %q: it %s", what, value, flaw)
		return ""
	}
	return value
}

// What names may not contain. MODULE@VERSION is how people ask for a version,
// steps are called kind:module@target, and releases remember what/name began them.
const (
	forModules  = "@"
	forVersions = "@"
	forPlaces   = "@:"
	forCauses   = "@:/"
)

const maxNameLength = 200

func nameFlaw(name, forbidden string) string {
	if forbidden == forModules {
		name = strings.TrimPrefix(name, "@")
	}
	switch {
	case name == "":
		return "is not complete"
	case utf8.RuneCountInString(name) > maxNameLength:
		return fmt.Sprintf("is longer than %d characters", maxNameLength)
	case strings.HasPrefix(name, "-"):
		return "begins with -, as only options do"
	}
	for _, r := range name {
		switch {
		case unicode.IsSpace(r):
			return "contains a space"
		case !unicode.IsPrint(r):
			return fmt.Sprintf("contains %U, which cannot be seen", r)
		case strings.ContainsRune(forbidden, r):
			return fmt.Sprintf("contains %q", string(r))
		}
	}
	return ""
}

// variable returns the name in ${NAME}.
func variable(s string) (string, bool) {
	name, ok := strings.CutPrefix(s, "${")
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(name, "}")
	return name, ok && name != "" && !strings.ContainsAny(name, "${} ")
}

// setting returns a text, or the environment variable that it names as ${NAME}.
func (d *decoder) setting(n *node) string {
	value := d.text(n)
	if name, ok := variable(value); ok {
		return d.lookup(n, name)
	}
	return value
}

func (d *decoder) lookup(n *node, name string) string {
	value, ok := d.env(name)
	switch {
	case !ok:
		d.report(n.at, "", "the environment variable %s is not set", name)
	case value == "":
		d.report(n.at, "", "the environment variable %s is empty", name)
	}
	return value
}

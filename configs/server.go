package configs

import (
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"
)

func (d *decoder) serverSection(n *node) {
	s := &d.server
	d.serves = true
	d.object(n, "server",
		field{key: "listen", decode: func(n *node) { s.Listen = d.address(n) }},
		field{key: "data", decode: func(n *node) { s.Data = d.setting(n) }},
		field{key: "url", decode: func(n *node) { s.URL = d.url(n) }},
		field{key: "tokens", decode: d.tokens},
		field{key: "world", decode: func(n *node) { s.World = choice(d, n, "world", WorldLocal) }},
		field{key: "slack", decode: d.slack},
		field{key: gitlabSystem, decode: d.gitlab},
		field{key: jiraSystem, decode: d.jira},
		field{key: pagerdutySystem, decode: d.pagerduty},
		field{key: alertmanagerSystem, decode: d.alertmanager},
		field{key: "registries", decode: d.registries},
	)
}

func (d *decoder) address(n *node) string {
	value := d.setting(n)
	if value == "" {
		return ""
	}
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		d.report(n.at, "", `%q wants an address such as 127.0.0.1:8080 or :8080, found %q`, n.name, value)
	}
	return value
}

func (d *decoder) url(n *node) string {
	value := d.setting(n)
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	switch {
	case err == nil && u.User != nil:
		d.hide(n)
		d.report(n.at, "", `%q wants an address without a user and password`, n.name)
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		d.report(n.at, "", `%q wants an address that begins with http:// or https://`, n.name)
	case u.RawQuery != "" || u.Fragment != "":
		d.report(n.at, "", `%q wants nothing but a host and a path`, n.name)
	}
	return strings.TrimRight(value, "/")
}

// secure reads an address that secrets go to, which is encrypted or on this machine,
// without a slash at the end.
func (d *decoder) secure(n *node) string {
	before := len(d.found)
	value := d.url(n)
	if value == "" || len(d.found) > before {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" && !loopback(u.Hostname()) {
		d.report(n.at, "", "%q wants https://: tokens go there, and http:// is for this machine alone", n.name)
		return ""
	}
	return value
}

// site reads the address of a system where people find it. Its own pages and
// interfaces are below: what goes on as one of those was copied from there.
func (d *decoder) site(n *node, below ...string) string {
	value := d.secure(n)
	u, err := url.Parse(value)
	if err != nil {
		return ""
	}
	for _, part := range below {
		if before, _, found := strings.Cut(u.Path+"/", part); found {
			u.Path, u.RawPath = before, ""
			d.report(n.at, "did you mean "+quote(u.String())+"?", "%q wants the address where people find it, without what is below it", n.name)
			return ""
		}
	}
	return value
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// minToken is the least length of a token, in characters.
const minToken = 16

func (d *decoder) tokens(n *node) {
	owner := make(map[string]mark)
	for _, item := range d.list(n) {
		var t Token
		var given *node
		d.object(item, "a token",
			field{key: "person", decode: func(n *node) {
				t.Person = d.text(n)
				d.refer(n, t.Person, aPerson, "a token speaks for")
			}},
			field{key: "token", secret: true, decode: func(n *node) {
				given = n
				t.Token = d.secret(n)
			}},
		)
		d.require(item, "a token", "person", "token")
		if value := t.Token.Reveal(); value != "" {
			if first, ok := owner[value]; ok {
				d.report(given.at, "", "this token is the same as the one in line %d", first.line)
			} else if utf8.RuneCountInString(value) < minToken {
				d.report(given.at, "make one with: openssl rand -hex 24", "this token can be guessed: it has fewer than %d characters", minToken)
			}
			owner[value] = given.at
		}
		d.server.Tokens = append(d.server.Tokens, t)
	}
}

// secret reads ${NAME} or file:PATH.
func (d *decoder) secret(n *node) Secret {
	switch n.kind {
	case broken, null:
		d.want(n, "")
		return Secret{}
	case text:
		if name, ok := variable(n.text); ok {
			if value := d.lookup(n, name); value != "" {
				return NewSecret(value)
			}
			return Secret{}
		}
		if file, ok := strings.CutPrefix(n.text, "file:"); ok {
			return d.secretFile(n, file)
		}
	}
	d.hide(n)
	d.report(n.at, "", "a secret is not written here: give it as ${NAME}, from the environment, or as file:PATH")
	return Secret{}
}

// key reads a secret that another system made.
func (d *decoder) key(n *node) Secret {
	s := d.secret(n)
	d.opaque(n, s)
	return s
}

// strong reads a secret by which others show that they may tell Muster what happened:
// nobody may guess it.
func (d *decoder) strong(n *node) Secret {
	s := d.secret(n)
	value := s.Reveal()
	if value != "" && d.opaque(n, s) && utf8.RuneCountInString(value) < minToken {
		d.report(n.at, "make one with: openssl rand -hex 24", "%q can be guessed: it has fewer than %d characters", n.name, minToken)
	}
	return s
}

// opaque reports a secret with what none that a system makes has: it was copied
// with something around it.
func (d *decoder) opaque(n *node, s Secret) bool {
	if strings.ContainsFunc(s.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		d.report(n.at, "copy it again", "%q holds a space, or a character that does not belong there", n.name)
		return false
	}
	return true
}

// hide keeps a literal secret out of every excerpt.
func (d *decoder) hide(n *node) {
	n.at.src.mask(n)
	for _, item := range n.items {
		d.hide(item)
	}
	for _, pair := range n.pairs {
		d.hide(pair.value)
	}
}

func (d *decoder) secretFile(n *node, name string) Secret {
	if name == "" {
		d.report(n.at, "", "file: wants the path of a file that holds the secret")
		return Secret{}
	}
	full := name
	if !path.IsAbs(full) {
		full = path.Join(path.Dir(n.at.src.name), full)
	}
	value, err := d.read(full, maxSecretSize)
	if err != nil {
		d.report(n.at, "", "cannot read the secret in %q: %v", full, reason(err))
		return Secret{}
	}
	value = strings.TrimRight(value, "\r\n")
	if value == "" {
		d.report(n.at, "", "the secret in %q is empty", full)
		return Secret{}
	}
	return NewSecret(value)
}

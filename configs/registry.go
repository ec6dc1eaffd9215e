package configs

import (
	"net"
	"strconv"
	"strings"
)

// registrySystem is the deployer that gives an image another tag in its registry.
const registrySystem = "registry"

// Registry says as whom a container registry knows Muster.
type Registry struct {
	Host string // with a port if need be; no two are equal
	// User and Password are both there, or neither: then it asks nobody who they are.
	User     string
	Password Secret
}

func (d *decoder) registries(n *node) {
	seen := make(map[string]mark)
	for _, item := range d.list(n) {
		var r Registry
		var user, password *node
		if item.kind != mapping {
			d.hide(item)
		}
		ok := d.object(item, "a registry",
			field{key: "host", decode: func(n *node) {
				if r.Host = d.host(n); r.Host != "" {
					d.declare(seen, "registry", r.Host, n.at)
				}
			}},
			field{key: "user", decode: func(n *node) { user, r.User = n, d.user(n) }},
			field{key: "password", secret: true, decode: func(n *node) { password, r.Password = n, d.key(n) }},
		)
		if !ok {
			continue
		}
		d.require(item, "a registry", "host")
		if (user == nil) != (password == nil) {
			d.require(item, "a registry", "user", "password")
		}
		d.server.Registries = append(d.server.Registries, r)
	}
}

// host reads the name of a machine, with a port if need be.
func (d *decoder) host(n *node) string {
	value := d.setting(n)
	if value == "" {
		return ""
	}
	if isHost(value) {
		return value
	}
	hint := ""
	guess := strings.ToLower(value)
	if _, after, ok := strings.Cut(guess, "://"); ok {
		guess = after
	}
	guess, _, _ = strings.Cut(guess, "/")
	switch {
	case strings.Contains(guess, "@"):
		d.hide(n) // the password may be before it
	case isHost(guess):
		hint = "did you mean " + quote(guess) + "?"
	}
	d.report(n.at, hint, "%q wants the name of a host such as registry.example or registry.example:5000", n.name)
	return ""
}

func isHost(s string) bool {
	name := s
	if host, port, err := net.SplitHostPort(s); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
		name = host
	}
	if net.ParseIP(name) != nil {
		return true
	}
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

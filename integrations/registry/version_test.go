package registry

import (
	"strings"
	"testing"

	"github.com/muster-release/muster/playbooks"
)

func TestVersionsOf(t *testing.T) {
	tags := []string{
		"v1.2.0", "v1.10.0", "v1.10.0-rc.1", "v1.10.0-rc.2", "1.9.0", "latest", "production", "v2", "sha-abcdef", "2.0.0.1", "2.0.0", "cart-v3.0.0", "cart-v3.0.0-slim",
		"v1.2.x", "cart-3.1-slim",
	}
	for _, one := range []struct {
		from string
		most int
		want string
	}{
		{"", 20, "2.0.0.1 2.0.0 v1.10.0 v1.10.0-rc.2 v1.10.0-rc.1 1.9.0 v1.2.0 v1.2.x"},
		{"", 2, "2.0.0.1 2.0.0"},
		{"{module}-{version}", 20, "3.1-slim v3.0.0 v3.0.0-slim"},
		{"cart-{version}-slim", 20, "3.1 v3.0.0"},
		{"{version}-{commit}", 20, ""},
		{"{commit}", 20, ""},
		{"fixed", 20, ""},
	} {
		versions, _ := versionsOf(tags, one.from, playbooks.Place{Environment: "production", Module: "cart"}, one.most)
		if got := strings.Join(versions, " "); got != one.want {
			t.Errorf("%q: %s, want %s", one.from, got, one.want)
		}
	}
	_, tagOf := versionsOf(tags, "cart-{version}-slim", playbooks.Place{}, 20)
	if tagOf["3.1"] != "cart-3.1-slim" {
		t.Errorf("tags are %v", tagOf)
	}
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("v1.2.0", "v1.10.0")
	f.Add("1.0.0-rc.1", "1.0.0")
	f.Add("1.0.0.1", "1.0.0")
	f.Add("99999999999999999999999", "v")
	f.Fuzz(func(t *testing.T, a, b string) {
		if compareVersions(a, b) != -compareVersions(b, a) {
			t.Errorf("%q and %q are in no order", a, b)
		}
		if compareVersions(a, a) != 0 {
			t.Errorf("%q is not itself", a)
		}
	})
}

package discover_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/muster-release/muster/configs/discover"
)

func manifest(t testing.TB, name string) discover.Manifest {
	t.Helper()
	for _, m := range discover.Manifests() {
		if m.Name() == name {
			return m
		}
	}
	t.Fatalf("%s is not read", name)
	return nil
}

// say writes what a file says, a line for each thing.
func say(f discover.Found) string {
	var b strings.Builder
	if f.Module != "" || f.Path != "" {
		fmt.Fprintf(&b, "%d: is %s in %q\n", f.Line, f.Module, f.Path)
	}
	for _, p := range f.Provides {
		private := ""
		if p.Private {
			private = " privately"
		}
		fmt.Fprintf(&b, "%d: provides %s%s\n", p.Line, p.Artifact, private)
	}
	for _, n := range f.Needs {
		what := n.Module
		if what == "" {
			what = n.Artifact.String()
		}
		if n.Folder != "" {
			what += " from " + n.Folder
		}
		if n.Private {
			what += " privately"
		}
		fmt.Fprintf(&b, "%d: needs %s (%s) %s%s\n", n.Line, what, n.Kind, n.Constraint, n.Reason)
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

func TestManifests(t *testing.T) {
	tests := []struct {
		name, file, content, want string
	}{
		{"go requirements", "go.mod", `// The cart.
module git.example/shop/cart/v2

go 1.26.0

require git.example/shop/money v1.4.2

require (
	git.example/shop/log v0.3.0 // a comment
	git.example/shop/left v1.0.0 // indirect
	git.example/shop/old v2.1.0+incompatible
	git.example/shop/next v0.0.0-20261124181239-abcdef123456
	git.example/shop/rc v1.2.0-rc.1
)
`, `2: provides go:git.example/shop/cart/v2
6: needs go:git.example/shop/money (build) >=1.4.2-0
9: needs go:git.example/shop/log (build) >=0.3.0-0
11: needs go:git.example/shop/old (build) >=2.1.0-0
12: needs go:git.example/shop/next (build)
13: needs go:git.example/shop/rc (build) >=1.2.0-rc.1
`},
		{"go replacements", "go.mod", `module cart

require git.example/a v1.0.0
require git.example/b v1.0.0
require git.example/c v1.0.0
require local v0.0.0

replace git.example/a => ../a
replace (
	git.example/b => git.example/fork/b v1.9.0
	git.example/c v1.1.0 => ./nowhere
	local => ./local
)
`, `1: provides go:cart privately
3: needs go:git.example/a from ../a (build)
10: needs go:git.example/fork/b (build) >=1.9.0-0
5: needs go:git.example/c (build) >=1.0.0-0
6: needs go:local from local privately (build)
`},
		{"go tools", "go.mod", `module git.example/web

tool git.example/tools/gen/cmd/gen

require (
	git.example/tools v1.0.0 // indirect
	git.example/tools/gen v1.5.0 // indirect
)
`, `1: provides go:git.example/web
7: needs go:git.example/tools/gen (test) >=1.5.0-0
`},
		{"go that is not", "go.mod", "module git.example/web\n\nrequire (\n\tgit.example/x\n\tgit.example/y\n)\n", "error: go.mod:4:2: usage: require module/path v1.2.3, and 1 more"},
		{"a directive of tomorrow", "go.mod", "module git.example/web\nfrobnicate yes\n", "error: go.mod:2: unknown directive: frobnicate"},
		{"packages", "package.json", `{
  "name": "@shop/web",
  "version": "1.0.0",
  "scripts": {"dependencies": "{}"},
  "dependencies": {
    "@shop/ui": "^1.2.3",
    "left-pad": "1.0",
    "@shop/range": ">=1.4.0 <3", "@shop/hyphen": "1.2.3 - 2.3.4",
    "@shop/any": "*",
    "@shop/tag": "latest",
    "@shop/x": "2.x",
    "@shop/or": "^1.0.0 || ^2.0.0",
    "@shop/pre": "~1.0.0-beta.2"
  },
  "devDependencies": {
    "@shop/ui": "^9",
    "@shop/lint": "^3.1.0"
  },
  "peerDependencies": {"react": "^19.0.0", "@shop/maybe": "^1.0.0"},
  "peerDependenciesMeta": {"@shop/maybe": {"optional": true}},
  "optionalDependencies": {
    "fsevents": "^2"
  }
}
`, `2: provides npm:@shop/web
6: needs npm:@shop/ui (build) >=1.2.3-0
7: needs npm:left-pad (build) >=1.0.0-0
8: needs npm:@shop/range (build) >=1.4.0-0
8: needs npm:@shop/hyphen (build) >=1.2.3-0
9: needs npm:@shop/any (build)
10: needs npm:@shop/tag (build)
11: needs npm:@shop/x (build) >=2.0.0-0
12: needs npm:@shop/or (build)
13: needs npm:@shop/pre (build) >=1.0.0-beta.2
17: needs npm:@shop/lint (test) >=3.1.0-0
19: needs npm:react (build) >=19.0.0-0
22: needs npm:fsevents (build) >=2.0.0-0
`},
		{"packages from elsewhere", "package.json", "\ufeff" + `{"name": "root", "private": true, "dependencies": {
"a": "workspace:*",
"b": "workspace:@shop/b@^1.0.0",
"c": "workspace:../c",
"d": "file:../d",
"e": "link:./e/",
"f": "npm:@shop/f@^4.1.0",
"g": "npm:@shop/g",
"h": "git+ssh://git@git.example/shop/h.git#v1.0.0",
"i": "shop/i",
"j": "catalog:",
"k": "file:../k.tgz",
"l": "../l",
"m": "npm:^2.1.0"
}}`, `1: provides npm:root privately
2: needs npm:a privately (build)
3: needs npm:@shop/b privately (build)
4: needs npm:c from ../c privately (build)
5: needs npm:d from ../d (build)
6: needs npm:e from e (build)
7: needs npm:@shop/f (build) >=4.1.0-0
8: needs npm:@shop/g (build)
9: needs npm:h (build)
10: needs npm:i (build)
11: needs npm:j (build)
12: needs npm:k (build)
13: needs npm:l from ../l (build)
14: needs npm:m (build) >=2.1.0-0
`},
		{"a key twice", "package.json", "{\"dependencies\": {\"a\": \"1\"},\n\"dependencies\": {\"b\": \"1\",\n\"b\": \"2\"}}", "3: needs npm:b (build) >=2.0.0-0\n"},
		{"nothing", "package.json", `{"dependencies": null, "private": "yes", "name": ""}`, ""},
		{"a template", "package.json", "{\n  \"name\": {{name}}\n}", "error: package.json:2: invalid character '{' looking for beginning of object key string"},
		{"cut off", "package.json", "{\n\"dependencies\": {\n\"a\": \"1\"", "error: package.json:3: unexpected end of JSON input"},
		{"far down", "package.json", "{\n\"name\": \"a\",\n\"x\": [1,\n2],\n\"dependencies\": {\n\"a\": \"1\",\n\"b\": tru\n}}", "error: package.json:7: invalid character '\\n' in literal true (expecting 'e')"},
		{"a comma", "package.json", "{\n\"name\": \"a\",\n\"dependencies\": {\n\"a\": \"1\",\n}}", "error: package.json:5: invalid character '}' looking for beginning of object key string"},
		{"a number", "package.json", "{\n\n\"dependencies\": {\"a\": 1}}", "error: package.json:3: a JSON number stands where it makes no sense"},
		{"a list", "package.json", "[]", "error: package.json:1: want keys with values in { }"},
		{"two files", "package.json", "{}\n{}", "error: package.json:2: invalid character '{' after top-level value"},
		{"own words", ".muster.yaml", `module: cart
path: services/cart
provides:
  - image:shop/cart
  - "npm:@shop/cart-client"
needs:
  - redis
  - module: money
    kind: build
    version: ">=1.2"
    reason: counts with it
  - {artifact: "go:git.example/log", kind: test}
`, `1: is cart in "services/cart"
4: provides image:shop/cart
5: provides npm:@shop/cart-client
7: needs redis (deploy)
8: needs money (build) >=1.2counts with it
12: needs go:git.example/log (test)
`},
		{"wrong words", ".muster.yaml", "modul: cart\nneeds: [{kind: build}]\nprovides: [cart]\npath: ../x\n", `error: .muster.yaml:1:1: unknown key "modul" in a repository's own file; did you mean "module"?, and 3 more`},
		{"no artifact", ".muster.yaml", "provides: [cart]\n", `error: .muster.yaml:1:12: "cart" is no artifact: write KIND:NAME, such as "npm:@shop/ui" or "go:example.com/shop/ui"`},
		{"both", ".muster.yaml", "needs:\n  - {module: a, artifact: go:b}\n", `error: .muster.yaml:2:5: a need names a module or an artifact, one of the two`},
		{"no words", ".muster.yaml", "", "error: .muster.yaml: the file is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found, err := manifest(t, tt.file).Read(tt.file, []byte(tt.content))
			got := say(found)
			if err != nil {
				got = "error: " + err.Error()
			}
			if got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

// fuzzManifest reads anything: whatever is found is in a line of the file, and errors are one line that
// begins with the file.
func fuzzManifest(f *testing.F, name string, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	m := manifest(f, name)
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := m.Read("a/"+name, data)
		if err != nil {
			if text := err.Error(); !strings.HasPrefix(text, "a/"+name) || strings.Contains(text, "\n") {
				t.Errorf("error %q", text)
			}
			return
		}
		lines := 1 + strings.Count(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), "\n")
		for _, n := range found.Needs {
			if n.Line < 1 || n.Line > lines || n.Kind == "" || (n.Module == "") == (n.Artifact.Name == "") {
				t.Errorf("need %+v in a file of %d lines", n, lines)
			}
		}
		for _, p := range found.Provides {
			if p.Line < 1 || p.Line > lines || p.Kind == "" || p.Name == "" {
				t.Errorf("provided %+v in a file of %d lines", p, lines)
			}
		}
	})
}

func FuzzGoMod(f *testing.F) {
	fuzzManifest(f, "go.mod", "module a.b/c\nrequire a.b/d v1.0.0\nreplace a.b/d => ../d\ntool a.b/d/x\n", "module (\n", "require x v1\n", "// \r\nmodule \"a\"")
}

func FuzzPackageJSON(f *testing.F) {
	fuzzManifest(f, "package.json", `{"name":"a","dependencies":{"b":"workspace:^","c":"npm:d@1"},"devDependencies":{"e":"file:../e"}}`, "{", `{"dependencies":{"a":["b"]}}`, "\ufeff{}\n")
}

func FuzzOwnFile(f *testing.F) {
	fuzzManifest(f, ".muster.yaml", "module: a\nneeds: [b, {artifact: \"go:c\", kind: test}]\nprovides: [\"npm:d\"]\n", "a: &x [*x]", "needs: {", "path: ..")
}

package discover

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/muster-release/muster/playbooks"
)

const fileHeader = `# Made by "muster discover", which writes all of it anew: what somebody changes here is lost.
# To change a need, declare it where its module is declared: what is declared wins.
`

// File is the configuration file that tells the catalog of all discovered needs, to be included by
// it. The same needs give the same bytes.
func (d *Difference) File() []byte {
	var b bytes.Buffer
	b.WriteString(fileHeader)
	if len(d.Needs) == 0 {
		b.WriteString("discovered: []\n")
		return b.Bytes()
	}
	b.WriteString("discovered:\n")
	module := ""
	for i, e := range d.Needs {
		if i == 0 || e.Module != module {
			module = e.Module
			b.WriteString("  - module: " + scalar(module) + "\n    needs:\n")
		}
		b.WriteString("      - {module: " + scalar(e.Needs))
		if e.Kind != playbooks.NeedDeploy {
			b.WriteString(", kind: " + string(e.Kind))
		}
		if e.Constraint != "" {
			b.WriteString(", version: " + quote(e.Constraint))
		}
		if e.Reason != "" {
			b.WriteString(", reason: " + quote(e.Reason))
		}
		b.WriteString(", source: " + quote(e.Source) + "}\n")
	}
	return b.Bytes()
}

// plain is what may stand in YAML without quotes, and is text there.
var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*$`)

func scalar(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return quote(s)
	}
	if plain.MatchString(s) {
		return s
	}
	return quote(s)
}

// quote writes a text in double quotes: a JSON string is a YAML one, too.
func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return `""` // a string can always be encoded
	}
	return strings.TrimSuffix(b.String(), "\n")
}

package pagerdutyfake

import (
	"slices"

	"github.com/muster-release/muster/integrations/accidents"
)

const pageText = `<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>PagerDuty, a fake</title>
<style>body{font:15px system-ui;margin:2em;max-width:70em}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3em .8em;border-bottom:1px solid #ddd;vertical-align:top}.triggered{color:#c22}.acknowledged{color:#c80}.resolved{color:#2a7}</style>
<h1>PagerDuty, a fake</h1>
<table><tr><th>#<th>Status<th>Severity<th>Summary<th>Component<th>Group<th>Class<th>What happened</tr>
{{range .Incidents}}<tr id="{{.Number}}"><td>{{.Number}}<td class="{{.Status}}">{{.Status}}<td>{{.Severity}}<td>{{.Summary}}{{range .Links}} <a href="{{.Href}}">{{or .Text .Href}}</a>{{end}}{{range $name, $value := .Details}}<br><small>{{$name}}: {{$value}}</small>{{end}}<td>{{.Component}}<td>{{.Group}}<td>{{.Class}}<td>{{range .Log}}{{.Time.Format "15:04:05"}} {{.Action}}{{with .By}} by {{.}}{{end}}<br>{{end}}</tr>
{{else}}<tr><td colspan="8">Nothing has happened.</tr>
{{end}}</table>
`

// page shows all incidents, the newest first. Called with the lock held.
func (p *PagerDuty) page() answer {
	all := slices.Clone(p.incidents)
	slices.Reverse(all)
	return accidents.Page(pageText, map[string]any{"Incidents": all})
}

package jirafake

import "github.com/muster-release/muster/integrations/accidents"

const pageText = `<!doctype html><meta charset="utf-8"><title>Jira, a fake</title>
<style>body{font:15px system-ui;margin:2em;max-width:70em}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3em .8em;border-bottom:1px solid #ddd;vertical-align:top}details pre{white-space:pre-wrap;background:#f5f5f5;padding:1em}.done{color:#2a7}.indeterminate{color:#16c}</style>
<h1>Jira, a fake ({{.Flavor}})</h1>
<p>API at <code>{{.URL}}</code></p>
<table><tr><th>Key<th>Type<th>Status<th>Resolution<th>Fix versions<th>Labels<th>Summary</tr>
{{range .Issues}}<tr id="{{.Key}}"><td>{{.Key}}<td>{{.Type}}<td class="{{.Category}}">{{.Status}}<td>{{.Resolution}}<td>{{range .FixVersions}}{{.}} {{end}}<td>{{range .Labels}}{{.}} {{end}}<td><details><summary>{{.Summary}}</summary><pre>{{.Description}}</pre>{{range .Links}}<p>{{.Source}} {{.Outward}} {{.Target}}</p>{{end}}{{range .RemoteLinks}}<p>{{.Relationship}} <a href="{{.URL}}">{{.Title}}</a></p>{{end}}{{range .Comments}}<h4>{{.Author}}, {{.Created.Format "2006-01-02 15:04:05"}}</h4><pre>{{.Text}}</pre>{{end}}</details></tr>
{{end}}</table>
`

// page shows all issues. Called with the lock held.
func (j *Jira) page() answer {
	flavor := Cloud
	if !j.cloud {
		flavor = DataCenter
	}
	var issues []Issue
	for _, i := range j.sorted() {
		issues = append(issues, j.public(i))
	}
	return accidents.Page(pageText, map[string]any{"Flavor": flavor, "URL": j.base + j.api, "Issues": issues})
}

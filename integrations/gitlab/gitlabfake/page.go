package gitlabfake

import (
	"encoding/json"
	"net/http"
)

// servePage shows the state of the server as JSON at the base path, and the journal of
// calls and deliveries at /calls and /deliveries. It needs no token: what runs the fake
// alone is a developer's machine.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request, path string) {
	var shown any
	switch path {
	case "", "/":
		shown = s.state()
	case "/calls":
		shown = s.Calls()
	case "/deliveries":
		shown = s.sent()
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	_ = out.Encode(shown)
}

func (s *Server) state() object {
	s.enter()
	var paths []string
	branches := map[string]map[string]string{}
	for _, p := range s.projects {
		paths = append(paths, p.Path)
		branches[p.Path] = map[string]string{}
		for name, c := range p.branches {
			branches[p.Path][name] = c.id
		}
	}
	s.leave()
	projects := object{}
	for _, path := range paths {
		projects[path] = object{
			"branches": branches[path], "tags": s.Tags(path), "pipelines": s.Pipelines(path), "deployments": s.Deployments(path),
			"releases": s.Releases(path), "statuses": s.Statuses(path),
		}
	}
	return object{"url": s.base, "api": s.APIURL(), "projects": projects, "calls": len(s.Calls()), "deliveries": len(s.Deliveries())}
}

// sent are the deliveries without what is secret in their headers.
func (s *Server) sent() []object {
	all := []object{}
	for _, d := range s.Deliveries() {
		o := object{
			"n": d.N, "event": d.Event, "project": d.Project, "url": d.URL, "sent": d.Sent, "status": d.Status, "lost": d.Lost,
			"key": d.Header.Get("Idempotency-Key"), "body": json.RawMessage(d.Body),
		}
		if d.Err != nil {
			o["error"] = d.Err.Error()
		}
		all = append(all, o)
	}
	return all
}

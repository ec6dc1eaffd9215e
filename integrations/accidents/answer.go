package accidents

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
)

// Answer is what a call is answered with: JSON, or raw text.
type Answer struct {
	Status int
	Body   any // becomes JSON while the lock is still held: it may hold what changes later
	Raw    string
	HTML   bool // Raw is a page
	Header http.Header
	json   bool // Raw is JSON
}

// Page is an answer for people: a template of html/template, filled in.
func Page(text string, data any) Answer {
	var b strings.Builder
	if err := template.Must(template.New("page").Parse(text)).Execute(&b, data); err != nil {
		return Answer{Status: http.StatusInternalServerError, Raw: err.Error()}
	}
	return Answer{Status: http.StatusOK, Raw: b.String(), HTML: true}
}

func (a *Answer) freeze() {
	if a.Body == nil {
		return
	}
	raw, err := json.Marshal(a.Body)
	if err != nil {
		panic(fmt.Sprintf("accidents: an answer that is no JSON: %v", err))
	}
	a.Raw, a.json, a.Body = string(raw), true, nil
}

func (a *Answer) write(rw http.ResponseWriter, kind string) {
	for name, values := range a.Header {
		rw.Header()[name] = values
	}
	switch {
	case a.HTML:
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	case a.json:
		rw.Header().Set("Content-Type", kind)
	case a.Raw != "":
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	rw.WriteHeader(a.Status)
	_, _ = io.WriteString(rw, a.Raw)
}

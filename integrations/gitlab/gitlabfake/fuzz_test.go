package gitlabfake_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
)

// FuzzRequests: whatever is asked, there is an answer, and none says that the server broke.
func FuzzRequests(f *testing.F) {
	for _, path := range gitlabfake.Paths() {
		method, rest, _ := strings.Cut(path, " ")
		rest = strings.NewReplacer(":id", "shop%2Fcart", ":tag", "v1.0.0", ":sha", "HEAD", ":file", "go.mod", "*path", "x").Replace(rest)
		for _, name := range []string{":merge", ":note", ":pipeline", ":job", ":deployment", ":environment", ":user", ":link", ":registry", ":hook"} {
			rest = strings.ReplaceAll(rest, name, "1")
		}
		f.Add(method, rest, `{"ref":"main","state":"running","body":"x","title":"x","source_branch":"f","target_branch":"main","inputs":{"to":"x"},"variables":[{"key":"a"}]}`)
	}
	f.Add("GET", "projects?pagination=keyset&order_by=id&cursor=%00&per_page=-1&page=99999999999999999999", "")
	f.Add("POST", "projects/1/repository/commits", `{"branch":"x","commit_message":"m","actions":[{"action":"move"},1,null]}`)
	f.Add("GET", "projects/1/repository/commits?ref_name=..&since=yesterday", "")
	f.Fuzz(func(t *testing.T, method, path, body string) {
		s, err := gitlabfake.New(gitlabfake.Options{Hooks: &http.Client{Transport: gitlabfake.Through(http.NotFoundHandler())}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Seed(nil); err != nil {
			t.Fatal(err)
		}
		s.Push("shop/cart", gitlabfake.Commit{Branch: "f"})
		s.AddMergeRequest("shop/cart", gitlabfake.MergeRequest{Source: "f"})
		s.PushImage("shop/cart", "", "v1.0.0", "sha256:1")
		req, err := http.NewRequestWithContext(t.Context(), method, s.APIURL()+"/"+path, strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		req.Header.Set("Content-Type", "application/json")
		for _, token := range []string{s.Token(), ""} {
			req.Header.Set("PRIVATE-TOKEN", token)
			req.Body, _ = req.GetBody()
			w := httptest.NewRecorder()
			func() {
				defer func() {
					if p := recover(); p != nil {
						if err, is := p.(error); !is || !errors.Is(err, http.ErrAbortHandler) {
							panic(p)
						}
					}
				}()
				s.ServeHTTP(w, req.Clone(t.Context()))
			}()
			if w.Code >= 500 {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	})
}

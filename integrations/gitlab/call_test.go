package gitlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"
)

// gitlabOf is a GitLab whose API answers as f says.
func gitlabOf(t *testing.T, f func(*http.Request) (*http.Response, error)) *GitLab {
	return aloneAt(t, func(o *Options) {
		o.Token = "glpat-secret"
		o.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			_, path, isAPI := strings.Cut(r.URL.EscapedPath(), "/sub/api/v4/")
			if _, known := gl.MatchRoute(path); isAPI && !known {
				t.Errorf("%s %s is no route of GitLab's API", r.Method, r.URL.Path)
			}
			return f(r)
		})}
	})
}

func replied(status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
}

func readTag(ctx context.Context, g *GitLab) error {
	_, err := ask(ctx, g, `read tag "v1" of "shop/api"`, func(with ...gl.RequestOptionFunc) (*gl.Tag, *gl.Response, error) {
		return g.api.Tags.GetTag("shop/api", "v1", with...)
	})
	return err
}

// What an answer means to who asked: whether it may be asked again, and when.
func TestMeaning(t *testing.T) {
	tests := []struct {
		name      string
		response  *http.Response
		err       error
		permanent bool
		gone      bool
		after     time.Duration
		want      string
	}{
		{name: "not found", response: replied(404, `{"message":"404 Tag Not Found"}`), permanent: true, gone: true, want: "not there, or not to be seen"},
		{name: "refused", response: replied(400, `{"message":{"ref":["is invalid"]}}`), permanent: true, want: "is invalid"},
		{name: "forbidden", response: replied(403, `{"error":"insufficient_scope","error_description":"The request requires higher privileges","scope":"api"}`), permanent: true, want: "insufficient_scope"},
		{name: "conflict", response: replied(409, `{"message":"exists"}`), permanent: true, want: "exists"},
		{name: "a bad token", response: replied(401, `{"message":"401 Unauthorized"}`), after: refusedWait, want: "the token is refused"},
		{name: "too many calls", response: replied(429, `{}`, "Retry-After", "30"), after: 30 * time.Second, want: "too many calls"},
		{name: "too many calls until then", response: replied(429, "Retry later\n", "RateLimit-Reset", strconv.FormatInt(time.Now().Add(90*time.Second).Unix(), 10)), after: 88 * time.Second, want: "too many calls"},
		{name: "too many calls, and that is all", response: replied(429, "Retry later\n"), after: refusedWait, want: "too many calls"},
		{name: "an error of GitLab's", response: replied(500, `{"message":"500 Internal Server Error"}`), want: "500"},
		{name: "a page instead of an answer", response: replied(502, "<html>GitLab is not responding</html>"), want: "HTTP 502"},
		{name: "another answer", response: replied(200, "<html>"), want: "cannot be read"},
		{name: "another address", response: replied(302, "", "Location", "http://evil.example/"), permanent: true, want: "leads elsewhere"},
		{name: "not reached", err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}, after: connectWait, want: "cannot connect: connection refused"},
		{name: "broken off", err: io.ErrUnexpectedEOF, want: "unexpected EOF"},
		{name: "too large", response: replied(200, `"`+strings.Repeat("x", mostAnswer)+`"`), want: "larger than 16 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			g := gitlabOf(t, func(r *http.Request) (*http.Response, error) {
				calls++
				if tt.response != nil {
					tt.response.Request = r
				}
				return tt.response, tt.err
			})
			err := readTag(t.Context(), g)
			if err == nil {
				t.Fatal("no error")
			}
			wantWords(t, err.Error(), `gitlab: read tag "v1" of "shop/api": `, tt.want)
			for _, secret := range []string{"glpat-secret", "git.example.com", "<html>"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds %q: %v", secret, err)
				}
			}
			if isPermanent(err) != tt.permanent || isGone(err) != tt.gone {
				t.Errorf("permanent %v and gone %v, want %v and %v: %v", isPermanent(err), isGone(err), tt.permanent, tt.gone, err)
			}
			var turn interface{ RetryAfter() time.Duration }
			after := time.Duration(0)
			if errors.As(err, &turn) {
				after = turn.RetryAfter()
			}
			if after < tt.after || after > tt.after+2*time.Second {
				t.Errorf("retry after %v, want %v", after, tt.after)
			}
			if calls != 1 {
				t.Errorf("%d calls were made, want one", calls)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gitlabOf(t, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		began := time.Now()
		err := readTag(t.Context(), g)
		if err == nil || isPermanent(err) || !strings.Contains(err.Error(), "no answer within 30s") {
			t.Errorf("error %v, want one that says that there was no answer", err)
		}
		if took := time.Since(began); took != callTime {
			t.Errorf("it took %v, want %v", took, callTime)
		}
	})
}

// A token is for GitLab alone, and an answer may be as large as who asks for it can take.
func TestRedirects(t *testing.T) {
	var seen []string
	g := gitlabOf(t, func(r *http.Request) (*http.Response, error) {
		seen = append(seen, fmt.Sprintf("%s %s %q", r.Method, r.URL.Host, r.Header.Get("Private-Token")))
		response := replied(200, strings.Repeat("x", mostAnswer+1))
		switch r.URL.Host {
		case "git.example.com":
			response = replied(302, "", "Location", "https://storage.example/x?signature=y")
		case "storage.example":
			if r.URL.Path == "/x" {
				response = replied(302, "", "Location", "https://storage.example/y")
			}
		}
		response.Request = r
		return response, nil
	})
	fetch := func(ctx context.Context, method string) (int, error) {
		return ask(ctx, g, "fetch", func(with ...gl.RequestOptionFunc) (int, *gl.Response, error) {
			request, err := g.api.NewRequest(method, "projects/1/jobs/2/trace", nil, with)
			if err != nil {
				return 0, nil, err
			}
			var b bytes.Buffer
			response, err := g.api.Do(request, &b)
			return b.Len(), response, err
		})
	}
	if n, err := fetch(anySize(t.Context()), http.MethodGet); err != nil || n != mostAnswer+1 {
		t.Errorf("%d bytes, error %v, want all", n, err)
	}
	want := `GET git.example.com "glpat-secret"|GET storage.example ""|GET storage.example ""`
	if got := strings.Join(seen, "|"); got != want {
		t.Errorf("requests were %s, want %s", got, want)
	}
	if _, err := fetch(t.Context(), http.MethodGet); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error %v, want one that says that it is too large", err)
	}
	seen = nil
	if _, err := fetch(t.Context(), http.MethodPost); !isPermanent(err) || len(seen) != 1 {
		t.Errorf("a POST was sent on: %q, error %v", seen, err)
	}
}

func TestLimits(t *testing.T) {
	request := func(method, path string) *http.Request {
		return &http.Request{Method: method, URL: &url.URL{Path: "/sub/api/v4/" + path}}
	}
	read, comment := request("GET", "projects/1/repository/tags"), request("POST", "projects/1/merge_requests/2/notes")
	later := func(err error) time.Duration {
		var l interface{ RetryAfter() time.Duration }
		if !errors.As(err, &l) {
			return 0
		}
		return l.RetryAfter()
	}
	within := func(t *testing.T, took, least, most time.Duration) {
		t.Helper()
		if took < least || took > most {
			t.Errorf("it took %v, want %v to %v", took, least, most)
		}
	}

	t.Run("not more in a minute", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLimits(60)
			began, made := time.Now(), 0
			for time.Since(began) < time.Minute {
				if err := l.take(read.WithContext(t.Context())); err == nil {
					made++
				} else {
					time.Sleep(later(err))
				}
			}
			if made > 61 || made < 50 {
				t.Errorf("%d calls were made in a minute, want about 60 and not more", made)
			}
		})
	})
	t.Run("some at once, and then evenly", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLimits(60)
			began := time.Now()
			for range 20 {
				if err := l.take(read.WithContext(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			within(t, time.Since(began), 0, 0)
			if err := l.take(read.WithContext(t.Context())); err != nil {
				t.Fatal(err)
			}
			within(t, time.Since(began), time.Second, 2*time.Second)
		})
	})
	t.Run("nobody is kept waiting for long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLimits(1)
			_ = l.take(read.WithContext(t.Context()))
			began := time.Now()
			err := l.take(read.WithContext(t.Context()))
			within(t, time.Since(began), 0, patience)
			within(t, later(err), time.Minute, 2*time.Minute)
		})
	})
	t.Run("what nobody waits for leaves room", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLimits(60)
			idle := read.WithContext(unhurried(t.Context()))
			for range 11 {
				if err := l.take(idle); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			for range 9 {
				if err := l.take(read.WithContext(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			within(t, time.Since(began), 0, 0)
			if err := l.take(idle); err != nil { // it waits as long as it takes
				t.Fatal(err)
			}
			within(t, time.Since(began), 10*time.Second, time.Minute)
			ctx, cancel := context.WithTimeout(unhurried(t.Context()), time.Millisecond)
			defer cancel()
			l.tokens = 0
			if err := l.take(read.WithContext(ctx)); later(err) == 0 {
				t.Errorf("error %v, want one that says when", err)
			}
		})
	})
	t.Run("a kind of call rests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLimits(600)
			l.learn(comment, replied(429, "", "Retry-After", "30"))
			within(t, later(l.take(comment.WithContext(t.Context()))), 29*time.Second, 30*time.Second)
			other := request("POST", "projects/77/merge_requests/8/notes")
			within(t, later(l.take(other.WithContext(t.Context()))), 29*time.Second, 30*time.Second)
			if err := l.take(read.WithContext(t.Context())); err != nil {
				t.Errorf("another kind: %v", err)
			}
			time.Sleep(30 * time.Second)
			if err := l.take(comment.WithContext(t.Context())); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	})
	t.Run("all rest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLimits(600)
			reset := strconv.FormatInt(time.Now().Add(20*time.Second).Unix(), 10)
			l.learn(read, replied(200, "", "RateLimit-Remaining", "3", "RateLimit-Reset", reset))
			if err := l.take(read.WithContext(t.Context())); err != nil {
				t.Errorf("some are left: %v", err)
			}
			l.learn(read, replied(200, "", "RateLimit-Remaining", "0", "RateLimit-Reset", reset))
			within(t, later(l.take(comment.WithContext(t.Context()))), 19*time.Second, 20*time.Second)
			time.Sleep(20 * time.Second)
			l.learn(read, replied(429, "", "RateLimit-Remaining", "0", "RateLimit-Limit", "600"))
			within(t, later(l.take(comment.WithContext(t.Context()))), 59*time.Second, refusedWait)
		})
	})
}

func TestPages(t *testing.T) {
	var asked []string
	g := gitlabOf(t, func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.RawQuery)
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		next := ""
		if page < 3 {
			next = strconv.Itoa(page + 1)
		}
		names := make([]string, 100)
		for i := range names {
			names[i] = fmt.Sprintf(`{"name":"v%d.%d"}`, page, i)
		}
		response := replied(200, "["+strings.Join(names, ",")+"]", "X-Next-Page", next)
		response.Request = r
		return response, nil
	})
	list := func(most int) ([]*gl.Tag, bool, error) {
		return pages(t.Context(), g, most, "list tags", func(page gl.ListOptions, with ...gl.RequestOptionFunc) ([]*gl.Tag, *gl.Response, error) {
			return g.api.Tags.ListTags("shop/api", &gl.ListTagsOptions{ListOptions: page}, with...)
		})
	}
	for _, tt := range []struct {
		most, want, calls int
		more              bool
	}{{100, 100, 1, true}, {150, 150, 2, true}, {300, 300, 3, false}, {1000, 300, 3, false}} {
		asked = nil
		all, more, err := list(tt.most)
		if err != nil || len(all) != tt.want || more != tt.more || len(asked) != tt.calls {
			t.Errorf("at most %d: %d, more %v, %d calls, error %v, want %+v", tt.most, len(all), more, len(asked), err, tt)
		}
	}
}

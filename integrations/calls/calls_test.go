package calls

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

var errBroken = errors.New("broken")

func TestUnanswered(t *testing.T) {
	over, end := context.WithCancelCause(t.Context())
	end(errors.New("no answer within 10s"))
	within := func(err error) error { return &url.Error{Op: "Get", URL: "https://secret.example/?token=1", Err: err} }
	for _, test := range []struct {
		name  string
		ctx   context.Context
		err   error
		later bool
		want  string
	}{
		{"no connection", t.Context(), within(&net.OpError{Op: "dial", Err: errBroken}), true, "ask: cannot connect: broken"},
		{"no proxy", t.Context(), within(&net.OpError{Op: "proxyconnect", Err: errBroken}), true, "ask: cannot connect: broken"},
		{"no connection in time", over, within(&net.OpError{Op: "dial", Err: errBroken}), true, "ask: cannot connect: broken"},
		{"a stranger", t.Context(), within(&tls.CertificateVerificationError{Err: errBroken}), true, "broken"},
		{"it broke off", t.Context(), within(&net.OpError{Op: "read", Err: errBroken}), false, "broken"},
		{"not in time", over, within(context.Canceled), false, "ask: no answer within 10s"},
		{"without an address", t.Context(), errBroken, false, "ask: broken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Unanswered(test.ctx, "ask", 7*time.Second, test.err)
			var later interface{ RetryAfter() time.Duration }
			if is := errors.As(err, &later); is != test.later || is && later.RetryAfter() != 7*time.Second {
				t.Errorf("%v is later: %v", err, is)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("it is %q, want %q", err, test.want)
			}
		})
	}
}

func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
		for value, want := range map[string]time.Duration{
			"":                      17 * time.Second,
			"soon":                  17 * time.Second,
			"-1":                    17 * time.Second,
			"0":                     time.Second,
			"30":                    30 * time.Second,
			"86400":                 time.Hour,
			"99999999999999999999":  17 * time.Second,
			date(time.Minute):       time.Minute,
			date(-time.Minute):      time.Second,
			date(48 * time.Hour):    time.Hour,
			strconv.Itoa(1<<31 - 1): time.Hour,
		} {
			if got := Rest(http.Header{"Retry-After": {value}}, 17*time.Second); got != want {
				t.Errorf("%q is %v, want %v", value, got, want)
			}
		}
	})
}

func TestLimits(t *testing.T) {
	const most = 1 << 20
	for size, fits := range map[int]bool{0: true, most - 1: true, most: true, most + 1: false, 3 * most: false} {
		text := strings.Repeat("x", size)
		read, err := io.ReadAll(Limited(io.NopCloser(strings.NewReader(text)), most))
		if fits && (err != nil || string(read) != text) || !fits && (err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") || len(read) > most) {
			t.Errorf("of %d bytes are %d read, with %v", size, len(read), err)
		}
		answer := &http.Response{Body: io.NopCloser(strings.NewReader(text))}
		read, err = Whole(answer, most)
		if fits != (err == nil) || !fits && !strings.Contains(err.Error(), "larger than 1 MiB") {
			t.Errorf("an answer of %d bytes is %v", size, err)
		}
		if fits {
			if again, err := io.ReadAll(answer.Body); err != nil || string(again) != text || string(read) != text {
				t.Errorf("an answer of %d bytes has %d, and %d again, %v", size, len(read), len(again), err)
			}
		}
	}
}

func FuzzClip(f *testing.F) {
	f.Add("", uint8(3))
	f.Add("short", uint8(5))
	f.Add("a longer text", uint8(8))
	f.Add("日本語のテキスト", uint8(10))
	for _, text := range []string{strings.Repeat("a", 255), strings.Repeat("ü", 200), strings.Repeat("界", 100), strings.Repeat("a", 300)} {
		f.Add(text, uint8(252))
	}
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		most := int(size) + len("…")
		cut := Clip(text, most)
		if len(cut) > most || len(text) <= most && cut != text || len(text) > most && !strings.HasSuffix(cut, "…") {
			t.Errorf("%q in %d bytes is %q", text, most, cut)
		}
		if utf8.ValidString(text) && (!utf8.ValidString(cut) || !strings.HasPrefix(text, strings.TrimSuffix(cut, "…"))) {
			t.Errorf("%q in %d bytes is %q", text, most, cut)
		}
	})
}

func TestUnquoted(t *testing.T) {
	for text, want := range map[string]string{
		`{"secret`:       "not JSON at byte 8",
		`{"a":secret}`:   "not JSON at byte 6",
		`{"a":"secret"}`: `field "a" is of another type`,
	} {
		var v struct {
			A int `json:"a"`
		}
		err := json.Unmarshal([]byte(text), &v)
		if err == nil {
			t.Fatalf("%s is taken", text)
		}
		if got := Unquoted(err).Error(); strings.Contains(got, "secret") || got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
	}
}

func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memory[*int]
		if _, ok := m.Get("a"); ok {
			t.Error("an empty one knows something")
		}
		m.Put("a", nil, time.Minute)
		if v, ok := m.Get("a"); !ok || v != nil {
			t.Errorf("that there is none is %v, %v", v, ok)
		}
		time.Sleep(time.Minute)
		if _, ok := m.Get("a"); ok {
			t.Error("it counts longer than it lasts")
		}
		for i := range mostKnown + 5 {
			m.Put(strconv.Itoa(i), nil, time.Minute)
		}
		if len(m.known) > mostKnown {
			t.Errorf("it knows %d", len(m.known))
		}
		if _, ok := m.Get(strconv.Itoa(mostKnown + 4)); !ok {
			t.Error("the last is forgotten")
		}
	})
}

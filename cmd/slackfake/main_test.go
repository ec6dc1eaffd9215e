package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/muster-release/muster/cmd/internal/alone/alonetest"
)

func TestRunAlone(t *testing.T) {
	keys, typed := io.Pipe()
	out := alonetest.Start(t, func(ctx context.Context, args []string, out io.Writer) error {
		return run(ctx, args, keys, out)
	}, "--people", "ann:ann@example.com")
	api, token := out.Find(t, `api url +(\S+)`), out.Find(t, `bot token +(\S+)`)
	resp, err := http.PostForm(api+"chat.postMessage", url.Values{"token": {token}, "channel": {"#releases"}, "text": {"hello <@U0001>"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	out.Find(t, `#releases [0-9.]+ muster\n    hello @ann`)
	if _, err := io.WriteString(typed, "U0001 #releases> /muster status\n"); err != nil {
		t.Fatal(err)
	}
	out.Find(t, `not acknowledged: no connection is open`)
	page := out.Find(t, `page +(\S+)`)
	if _, shown := alonetest.Do(t, "GET", page, nil, ""); !strings.Contains(shown, `hello <span class="mention">@ann</span>`) {
		t.Errorf("the page is\n%s", shown)
	}
	typed.Close()
}

func TestTakenPort(t *testing.T) {
	alonetest.Taken(t, func(ctx context.Context, args []string, out io.Writer) error {
		return run(ctx, args, strings.NewReader(""), out)
	})
}

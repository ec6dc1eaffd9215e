package alone_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/muster-release/muster/cmd/internal/alone"
	"github.com/muster-release/muster/cmd/internal/alone/alonetest"
)

// hello is a program whose listener breaks when somebody gets /break.
func hello(ctx context.Context, args []string, out io.Writer) error {
	flags, listen := alone.Flags("hello", "127.0.0.1:8099", "address of the greeting", out)
	name := flags.String("name", "you", "who is greeted")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "page   http://%s\n", l.Addr())
	return alone.Serve(ctx, l, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/break" {
			l.Close()
			return
		}
		fmt.Fprintf(rw, "hello %s", *name)
	}))
}

func TestProgram(t *testing.T) {
	page := alonetest.Start(t, hello, "--name", "ann").Find(t, `page +(\S+)`)
	if status, got := alonetest.Do(t, "GET", page, nil, ""); status != 200 || got != "hello ann" {
		t.Errorf("HTTP %d: %q", status, got)
	}
	alonetest.Refuses(t, hello, []string{"--listen", "nowhere:x"}, []string{"--nonsense"})
}

func TestListenerBreaks(t *testing.T) {
	out := alonetest.NewScreen()
	ended := make(chan error, 1)
	go func() { ended <- hello(t.Context(), []string{"--listen", "127.0.0.1:0"}, out) }()
	alonetest.Do(t, "GET", out.Find(t, `page +(\S+)`)+"/break", nil, "")
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ended with %v", err)
	}
}

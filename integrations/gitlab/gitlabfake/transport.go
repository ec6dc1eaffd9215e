package gitlabfake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// Client returns a client whose requests reach the server in the same process, without
// sockets, whatever host they name. It works in a testing/synctest bubble.
func (s *Server) Client() *http.Client { return &http.Client{Transport: Through(s)} }

// Through returns a transport that hands requests to a handler in the same process. A
// request whose context ends is left alone, as over a network; the handler learns of it
// through the request's context.
func Through(h http.Handler) http.RoundTripper { return through{h} }

type through struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t through) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := req.Clone(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.RequestURI = req.URL.RequestURI()
	r.RemoteAddr = "192.0.2.1:1234"
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	w := &recorder{header: http.Header{}, over: make(chan struct{})}
	go func() {
		defer close(w.over)
		defer func() {
			if p := recover(); p != nil && w.gone == nil {
				w.gone = fmt.Errorf("handler: %v", p)
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					w.gone = io.EOF
				}
			}
		}()
		t.handler.ServeHTTP(w, r)
	}()
	select {
	case <-w.over:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case w.gone == nil:
		return w.response(req), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(w.gone, syscall.ECONNREFUSED):
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: w.gone}
	case errors.Is(w.gone, errHangUp):
		return nil, io.EOF
	}
	return nil, w.gone
}

// recorder keeps an answer until it is whole.
type recorder struct {
	header http.Header
	sent   http.Header
	status int
	body   bytes.Buffer
	gone   error
	over   chan struct{}
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

func (w *recorder) abort(why error) { w.gone = why }

func (w *recorder) response(req *http.Request) *http.Response {
	w.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent, Request: req,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()),
	}
}

package accidents

import (
	"bytes"
	"io"
	"net/http"
)

// Client returns a client that calls the fake in this process, whatever the host of the
// address: no sockets, so it works in a testing/synctest bubble. A broken connection is an
// error, as from the net package.
func (l *Line) Client() *http.Client { return &http.Client{Transport: transport{l}} }

type transport struct{ line *Line }

// RoundTrip answers a request, or fails as a connection that a fault breaks.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	a, err := t.line.serve(r)
	if err != nil {
		if gone := r.Context().Err(); gone != nil {
			return nil, gone
		}
		return nil, err
	}
	rec := &recorder{header: http.Header{}}
	a.write(rec, t.line.system.JSON)
	return &http.Response{
		StatusCode: rec.status, Status: http.StatusText(rec.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: rec.header, Body: io.NopCloser(&rec.body), ContentLength: int64(rec.body.Len()), Request: r,
	}, nil
}

type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

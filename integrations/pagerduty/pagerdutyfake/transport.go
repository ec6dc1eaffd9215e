package pagerdutyfake

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"syscall"
)

// Transport is a RoundTripper that calls a PagerDuty in this process.
type Transport struct{ PagerDuty *PagerDuty }

var (
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	errDropped = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
)

// RoundTrip answers a request, or fails as a connection that a fault breaks.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	a, err := t.PagerDuty.serve(r)
	if err != nil {
		if gone := r.Context().Err(); gone != nil {
			return nil, gone
		}
		return nil, err
	}
	rec := &recorder{header: http.Header{}}
	a.write(rec)
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

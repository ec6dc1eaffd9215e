package main

import "github.com/prometheus/client_golang/prometheus"

// talkStats are what a chat that takes only so many calls counts.
type talkStats struct{ *talk }

// callStats are counted since the start.
type callStats struct {
	calls           map[string]int64 // by method
	putOff, refused int64
	waiting         int
}

var (
	chatCalls   = prometheus.NewDesc("muster_chat_calls_total", "Calls to the chat, by method.", []string{"method"}, nil)
	chatPutOff  = prometheus.NewDesc("muster_chat_put_off_total", "Calls that waited for their turn, so as to stay below the chat's limits.", nil, nil)
	chatRefused = prometheus.NewDesc("muster_chat_refused_total", "Calls that the chat refused because there were too many.", nil, nil)
	chatWaiting = prometheus.NewDesc("muster_chat_waiting", "Calls that wait for their turn now.", nil, nil)
)

// Describe implements prometheus.Collector.
func (talkStats) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{chatCalls, chatPutOff, chatRefused, chatWaiting} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (t talkStats) Collect(to chan<- prometheus.Metric) {
	if t.stats == nil {
		return
	}
	s := t.stats()
	for method, n := range s.calls {
		to <- prometheus.MustNewConstMetric(chatCalls, prometheus.CounterValue, float64(n), method)
	}
	to <- prometheus.MustNewConstMetric(chatPutOff, prometheus.CounterValue, float64(s.putOff))
	to <- prometheus.MustNewConstMetric(chatRefused, prometheus.CounterValue, float64(s.refused))
	to <- prometheus.MustNewConstMetric(chatWaiting, prometheus.GaugeValue, float64(s.waiting))
}

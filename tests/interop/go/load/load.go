// A load generator on gorilla/websocket, to compare client.ts --load with: an open loop, whose messages have
// their times beforehand, shared among the connections. Prints the latency in milliseconds, as JSON.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"log"
	"math"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	url := flag.String("url", "ws://127.0.0.1:8080/", "URL to connect to")
	connections := flag.Int("connections", 10, "connections")
	rate := flag.Int("rate", 1000, "messages a second, over all connections")
	duration := flag.Duration("duration", 10*time.Second, "for how long messages are sent")
	size := flag.Int("size", 64, "bytes of a message")
	flag.Parse()
	log.SetFlags(0)

	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	conns := make([]*websocket.Conn, *connections)
	for i := range conns {
		conn, _, err := dialer.Dial(*url, nil)
		if err != nil {
			log.Fatal("Cannot connect: ", err)
		}
		conns[i] = conn
	}

	message := []byte(strings.Repeat("x", *size))
	total := int(duration.Seconds() * float64(*rate))
	interval := time.Duration(float64(time.Second) / float64(*rate))
	start := time.Now().Add(100 * time.Millisecond)
	due := func(index int) time.Time { return start.Add(time.Duration(index) * interval) }
	times := make([][]float64, len(conns))
	var work sync.WaitGroup
	for i, conn := range conns {
		i, conn := i, conn
		work.Add(2)
		go func() {
			defer work.Done()
			for index := i; index < total; index += len(conns) {
				time.Sleep(time.Until(due(index)))
				if err := conn.WriteMessage(websocket.TextMessage, message); err != nil {
					log.Fatal("Cannot send: ", err)
				}
			}
		}()
		go func() {
			defer work.Done()
			for index := i; index < total; index += len(conns) {
				if _, _, err := conn.ReadMessage(); err != nil {
					log.Fatal("Cannot read: ", err)
				}
				times[i] = append(times[i], float64(time.Since(due(index)).Microseconds())/1000)
			}
		}()
	}
	work.Wait()

	var all []float64
	for _, some := range times {
		all = append(all, some...)
	}
	sort.Float64s(all)
	at := func(percent float64) float64 {
		return all[int(math.Ceil(float64(len(all))*percent/100))-1]
	}
	json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"count": float64(len(all)), "p50": at(50), "p99": at(99), "p999": at(99.9), "max": at(100),
	})
}

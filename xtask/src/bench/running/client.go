// A client and its server in one process, without cgo: what a connection costs. Prints microseconds.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

func main() {
	connections, _ := strconv.Atoi(os.Args[1])
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	accepted := make(chan net.Conn)
	go func() {
		for {
			connection, err := server.Accept()
			if err != nil {
				panic(err)
			}
			accepted <- connection
		}
	}()
	start := time.Now()
	for i := 0; i < connections; i++ {
		connection, err := net.Dial("tcp4", server.Addr().String())
		if err != nil {
			panic(err)
		}
		other := <-accepted
		// A reset leaves no TIME-WAIT behind, which would use up the ports.
		connection.(*net.TCPConn).SetLinger(0)
		connection.Close()
		other.Close()
	}
	fmt.Printf("connection %.3f\n", float64(time.Since(start).Nanoseconds())/1e3/float64(connections))
}

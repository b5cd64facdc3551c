use rdkafka::message::{Header, OwnedHeaders};

use super::*;

#[tokio::test]
async fn what_each_compression_produced_is_read_back_also_after_brokers_were_killed() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::options().brokers(3).start().await? else { return Ok(()) };
    kafka.create_topic("t", 3).await?;
    let mut sent = Vec::new();
    for (n, compression) in (1_u32..).zip(Compression::ALL) {
        let mut producer = kafka.producer(compression)?;
        for i in 0..100_i32 {
            let (key, payload) = (format!("k{i}"), format!("{} {i}", compression.name()).repeat(50));
            let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some(compression.name()) });
            let message = Message::with_opaque_to("t", ()).partition(i % 3).timestamp(i64::from(i) + 1);
            producer.send(message.key(key.as_bytes()).payload(payload.as_bytes()).headers(headers))?;
            sent.push((i % 3, i64::from(i) + 1, key, payload, compression.name()));
        }
        if n <= 3 {
            kafka.kill(Some(n)).await?;
            kafka.restart().await?;
        }
        producer.flush().await?;
        kafka.wait_until_in_sync("t").await?;
    }
    let mut found: Vec<_> = kafka.read("t").await?;
    assert!(found.is_sorted_by_key(|record| (record.partition, record.offset)));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let mut read: Vec<_> = found
        .iter_mut()
        .map(|record| {
            let header =
                Compression::ALL.map(Compression::name).into_iter().find(|name| record.header("h") == Some(name));
            let key = record.key.take().map(text).expect("a key");
            let payload = text(std::mem::take(&mut record.payload));
            (record.partition, record.timestamp_ms.expect("a timestamp"), key, payload, header.expect("the header"))
        })
        .collect();
    sent.sort();
    read.sort();
    assert_eq!(read, sent);

    kafka.grow_topic("t", 5).await?;
    assert_eq!(kafka.ends("t").await?.values().sum::<i64>(), 500);
    assert!(kafka.committed("nobody", "t").await?.is_empty());
    kafka.forget_before("t", 0, 7).await?;
    assert_eq!(kafka.read("t").await?.first().map(|record| (record.partition, record.offset)), Some((0, 7)));
    kafka.reassign("t", &[vec![2, 3], vec![3, 1], vec![1, 2]]).await?;
    assert_eq!(kafka.read("t").await?.len(), 500 - 7);
    Ok(())
}

#[tokio::test]
async fn two_clusters_at_once_keep_apart_and_each_lets_in_by_every_listener() -> anyhow::Result<()> {
    let options = || Kafka::options().secured().start();
    let (Some(one), Some(other)) = tokio::try_join!(options(), options())? else { return Ok(()) };
    assert_ne!(one.bootstrap(), other.bootstrap());
    one.create_topic("only-here", 1).await?;
    assert!(other.ends("only-here").await.is_err());
    let mut clients = vec![];
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut client = one.client();
        client.set("bootstrap.servers", one.sasl_bootstrap()?).set("security.protocol", "sasl_plaintext");
        client.set("sasl.mechanism", mechanism).set("sasl.username", Kafka::USER).set("sasl.password", Kafka::PASSWORD);
        clients.push(client);
    }
    let mut client = one.client();
    client.set("bootstrap.servers", one.ssl_bootstrap()?).set("security.protocol", "ssl");
    client.set("ssl.ca.location", one.ca().display().to_string());
    clients.push(client);
    for client in clients {
        let found = blocking(move || client::partitions(&client, "only-here", PATIENCE)).await?;
        assert_eq!(found, [0]);
    }
    Ok(())
}

// The JavaScript SDK's document client against one endpoint: exits with 0 when all is as on AWS.
// node document_client.mjs ENDPOINT REGION MODULES   (credentials come from the environment)
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [endpoint, region, modules] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const {
  DynamoDBClient, CreateTableCommand, DeleteTableCommand, DescribeTableCommand,
  waitUntilTableExists, waitUntilTableNotExists,
} = require("@aws-sdk/client-dynamodb");
const {
  DynamoDBDocumentClient, PutCommand, GetCommand, UpdateCommand, DeleteCommand, QueryCommand,
  BatchWriteCommand, BatchGetCommand, TransactWriteCommand, TransactGetCommand,
  paginateQuery, paginateScan,
} = require("@aws-sdk/lib-dynamodb");

const client = new DynamoDBClient({ endpoint, region, maxAttempts: 3 });
const db = DynamoDBDocumentClient.from(client, { marshallOptions: { removeUndefinedValues: true } });
const TableName = `document-client-${Date.now()}`;

await client.send(new CreateTableCommand({
  TableName,
  BillingMode: "PAY_PER_REQUEST",
  AttributeDefinitions: [
    { AttributeName: "pk", AttributeType: "S" },
    { AttributeName: "sk", AttributeType: "N" },
    { AttributeName: "owner", AttributeType: "S" },
  ],
  KeySchema: [
    { AttributeName: "pk", KeyType: "HASH" },
    { AttributeName: "sk", KeyType: "RANGE" },
  ],
  GlobalSecondaryIndexes: [{
    IndexName: "by_owner",
    KeySchema: [{ AttributeName: "owner", KeyType: "HASH" }],
    Projection: { ProjectionType: "ALL" },
  }],
}));
await waitUntilTableExists({ client, maxWaitTime: 30 }, { TableName });
const described = await client.send(new DescribeTableCommand({ TableName }));
assert.equal(described.Table.TableStatus, "ACTIVE");
assert.equal(described.Table.GlobalSecondaryIndexes[0].IndexStatus, "ACTIVE");

const item = {
  pk: "a", sk: 1, owner: "ada", text: "h\u00e9llo", flag: true, nothing: null, gone: undefined,
  list: [1, "two", { three: 3 }], map: { deep: { er: [1.5] } },
  strings: new Set(["x", "y"]), numbers: new Set([1, 2]), bytes: new Uint8Array([0, 255]),
};
await db.send(new PutCommand({ TableName, Item: item }));
const got = await db.send(new GetCommand({ TableName, Key: { pk: "a", sk: 1 }, ConsistentRead: true }));
const { gone, ...kept } = item;
assert.deepEqual({ ...got.Item, bytes: [...got.Item.bytes] }, { ...kept, bytes: [0, 255] });

await assert.rejects(
  db.send(new PutCommand({ TableName, Item: item, ConditionExpression: "attribute_not_exists(pk)" })),
  { name: "ConditionalCheckFailedException" },
);
const updated = await db.send(new UpdateCommand({
  TableName, Key: { pk: "a", sk: 1 },
  UpdateExpression: "SET #l = list_append(#l, :more), #m.deep.x = :x ADD visits :one REMOVE flag",
  ExpressionAttributeNames: { "#l": "list", "#m": "map" },
  ExpressionAttributeValues: { ":more": ["end"], ":x": 7, ":one": 1 },
  ReturnValues: "ALL_NEW",
}));
assert.equal(updated.Attributes.visits, 1);
assert.deepEqual(updated.Attributes.list.at(-1), "end");
assert.equal(updated.Attributes.map.deep.x, 7);
assert.equal("flag" in updated.Attributes, false);

for (let start = 0; start < 50; start += 25) {
  const answer = await db.send(new BatchWriteCommand({ RequestItems: {
    [TableName]: Array.from({ length: 25 }, (_, n) => (
      { PutRequest: { Item: { pk: "q", sk: start + n, owner: `o${n % 2}`, even: n % 2 === 0 } } })),
  } }));
  assert.deepEqual(answer.UnprocessedItems, {});
}
const seen = [];
for await (const page of paginateQuery({ client: db, pageSize: 7 }, {
  TableName, ConsistentRead: true, ScanIndexForward: false,
  KeyConditionExpression: "pk = :p AND sk BETWEEN :a AND :b",
  ExpressionAttributeValues: { ":p": "q", ":a": 10, ":b": 39 },
})) seen.push(...page.Items.map((one) => one.sk));
assert.deepEqual(seen, Array.from({ length: 30 }, (_, n) => 39 - n));
let scanned = 0;
for await (const page of paginateScan({ client: db }, { TableName, Limit: 9 })) scanned += page.Count;
assert.equal(scanned, 51);
const batch = await db.send(new BatchGetCommand({ RequestItems: {
  [TableName]: { Keys: [{ pk: "q", sk: 0 }, { pk: "q", sk: 1 }, { pk: "q", sk: 999 }], ConsistentRead: true },
} }));
assert.equal(batch.Responses[TableName].length, 2);

const until = Date.now() + 15000;
for (;;) {
  const found = await db.send(new QueryCommand({
    TableName, IndexName: "by_owner", KeyConditionExpression: "#o = :o",
    ExpressionAttributeNames: { "#o": "owner" }, ExpressionAttributeValues: { ":o": "o1" },
  }));
  if (found.Count === 24) break;
  assert.ok(Date.now() < until, `the index has ${found.Count} entries`);
  await new Promise((resolve) => setTimeout(resolve, 50));
}

await db.send(new TransactWriteCommand({ TransactItems: [
  { Put: { TableName, Item: { pk: "t", sk: 1, n: 1 }, ConditionExpression: "attribute_not_exists(pk)" } },
  { Update: { TableName, Key: { pk: "t", sk: 2 }, UpdateExpression: "ADD n :n", ExpressionAttributeValues: { ":n": 2 } } },
  { Delete: { TableName, Key: { pk: "q", sk: 0 } } },
  { ConditionCheck: { TableName, Key: { pk: "q", sk: 1 }, ConditionExpression: "attribute_exists(pk)" } },
] }));
const read = await db.send(new TransactGetCommand({ TransactItems: [
  { Get: { TableName, Key: { pk: "t", sk: 1 } } },
  { Get: { TableName, Key: { pk: "t", sk: 2 } } },
  { Get: { TableName, Key: { pk: "q", sk: 0 } } },
] }));
assert.deepEqual(read.Responses.map((one) => one.Item?.n), [1, 2, undefined]);
await assert.rejects(
  db.send(new TransactWriteCommand({ TransactItems: [
    { Put: { TableName, Item: { pk: "t", sk: 1 }, ConditionExpression: "attribute_not_exists(pk)" } },
    { Delete: { TableName, Key: { pk: "t", sk: 2 } } },
  ] })),
  (error) => error.name === "TransactionCanceledException"
    && error.CancellationReasons[0].Code === "ConditionalCheckFailed"
    && error.CancellationReasons[1].Code === "None",
);
await db.send(new DeleteCommand({ TableName, Key: { pk: "a", sk: 1 } }));
const after = await db.send(new GetCommand({ TableName, Key: { pk: "a", sk: 1 }, ConsistentRead: true }));
assert.equal(after.Item, undefined);
await client.send(new DeleteTableCommand({ TableName }));
await waitUntilTableNotExists({ client, maxWaitTime: 30 }, { TableName });
console.log("all as on AWS");
